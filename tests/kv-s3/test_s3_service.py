"""Rate limits, failures and slow answers of the service."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.s3 import S3Store
from service_cases import KEYS, VALUES

from .conftest import at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .service import Service

    Call = Callable[[S3Store], Awaitable[object]]

CALLS: dict[str, Call] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", {"n": 1}),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [{}, {}]),
    "delete": lambda store: store.delete("key"),
    "delete_many": lambda store: store.delete_many(["key", "other"]),
    "keys": lambda store: store.keys(),
    "collections": lambda store: store.collections(),
    "put_if_absent": lambda store: store.put_if_absent("new", {"n": 1}),
    "get_versioned": lambda store: store.get_versioned("key"),
    "destroy": lambda store: store.destroy(),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


@pytest.fixture
def store(store_at_service: S3Store) -> S3Store:
    return store_at_service


@pytest.fixture
async def hasty(service: Service, place: dict[str, Any]) -> AsyncIterator[S3Store]:
    """A store with a short timeout and one entry."""
    async with S3Store(**place) as store:
        await store.put("key", {"n": 1})
    async with S3Store(**at(place, service.url), timeout=3.0) as store:
        service.requests.clear()
        yield store


# Rate limits and failures


@each_call
@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
async def test_a_rate_limited_call_is_retried(store: S3Store, service: Service, call: Call, code: str) -> None:
    await store.put("key", {"n": 1})
    service.refuse(code, times=2)
    await call(store)


@each_call
async def test_a_call_that_stays_rate_limited_is_a_connection_error_in_time(
    hasty: S3Store, service: Service, call: Call
) -> None:
    service.refuse("SlowDown")
    start = time.monotonic()
    with pytest.raises(StoreConnectionError, match=r"rate of requests|limit `timeout`") as caught:
        await call(hasty)
    assert time.monotonic() - start < 30
    assert "hunter2" not in str(caught.value)
    service.rule = lambda _asked: None
    assert await hasty.get("key") == {"n": 1}


async def test_retries_of_rate_limited_callers_are_spread_out(store: S3Store, service: Service) -> None:
    service.refuse("SlowDown", times=20)
    moments: list[float] = []
    refuse = service.rule

    def rule(asked: Any) -> Any:
        moments.append(time.monotonic())
        return refuse(asked)

    service.rule = rule
    await asyncio.gather(*(store.get(key) for key in KEYS[:20]))
    again = sorted(moments)[20:]
    assert again[-1] - again[0] > 0.01


@each_call
async def test_a_failure_of_the_service_is_a_connection_error(hasty: S3Store, service: Service, call: Call) -> None:
    service.refuse("InternalError", status=500)
    with pytest.raises(StoreConnectionError):
        await call(hasty)


async def test_a_read_is_retried_after_a_failure(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.refuse("InternalError", status=500, times=2)
    assert await store.get("key") == {"n": 1}


async def test_a_read_with_a_lost_answer_is_retried(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    lost = iter([True])
    service.drops_replies = lambda _asked: next(lost, False)
    assert await store.get("key") == {"n": 1}


async def test_a_slow_service_is_a_timeout(hasty: S3Store, service: Service) -> None:
    service.delay = 3600
    start = time.monotonic()
    with pytest.raises(StoreTimeoutError, match="limit `timeout`"):
        await hasty.get("key")
    assert time.monotonic() - start < 30


async def test_a_page_has_the_time_limit_of_a_thousand_entries_whatever_its_size(
    store: S3Store, service: Service, place: dict[str, Any]
) -> None:
    await store.put_many(KEYS[:10], VALUES[:10])
    async with S3Store(**at(place, service.url), timeout=1.0, max_connections=1) as slow:
        service.delay = 0.5
        with pytest.raises(StoreTimeoutError):
            await slow.scan(limit=10**6)


async def test_a_refused_part_of_a_batch_is_retried_on_its_own(store: S3Store, service: Service) -> None:
    await store.put_many(["one", "two"], [{}, {}])
    text = (
        "<DeleteResult><Error><Key>default_collection/one</Key><Code>InternalError</Code>"
        "<Message>hunter2</Message></Error></DeleteResult>"
    )

    def rule(asked: Any) -> Any:
        if asked.operation == "DeleteObjects":
            from aiohttp import web

            return web.Response(text=text, content_type="application/xml")
        return None

    service.rule = rule
    service.requests.clear()
    await store.delete_many(["one", "two"])
    # The refused part of the batch is requested again on its own.
    assert service.operations() == {"HeadObject": 2, "DeleteObjects": 1, "DeleteObject": 1}


# Answers with an error

ANSWERS = {
    ("AccessDenied", 403): (StoreSetupError, "lack the right to GetObject"),
    ("InvalidAccessKeyId", 403): (StoreSetupError, "access key is not known"),
    ("SignatureDoesNotMatch", 403): (StoreSetupError, "wrong secret access key"),
    ("ExpiredToken", 403): (StoreSetupError, "session token has expired"),
    ("RequestTimeTooSkewed", 403): (StoreSetupError, "clock of this machine"),
    ("AuthorizationHeaderMalformed", 403): (StoreSetupError, "another region"),
    ("NoSuchBucket", 404): (StoreSetupError, "no such bucket"),
    ("InvalidObjectState", 403): (KeyValueStoreError, "InvalidObjectState"),
}


@pytest.mark.parametrize(("answer", "meaning"), ANSWERS.items(), ids=[code for code, _ in ANSWERS])
async def test_an_error_answer_is_reported_with_its_reason(
    store: S3Store, service: Service, answer: tuple[str, int], meaning: tuple[type[BaseKeyValueError], str]
) -> None:
    code, status = answer
    service.refuse(code, status=status)
    with pytest.raises(meaning[0], match=meaning[1]) as caught:
        await store.get("key")
    assert "hunter2" not in str(caught.value)


async def test_a_bucket_that_has_moved_is_accessed_through_the_client(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.refuse("PermanentRedirect", status=301, times=1, operation="GetObject")
    assert await store.get("key") == {"n": 1}
