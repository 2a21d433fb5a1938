"""A service that fails or limits the rate: unprocessed batch items, retries, lost answers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.dynamodb import DynamoDBStore

from .conftest import at
from .service import Service, refusal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from http_service import Asked

    from .conftest import Raw

    Call = Callable[[DynamoDBStore], Awaitable[object]]

KEYS = [f"key {number}" for number in range(250)]
VALUES = [{"key": key} for key in KEYS]

RETRYABLE: dict[str, Call] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", {"n": 1}),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [{}, {}]),
    "keys": lambda store: store.keys(),
    "collections": lambda store: store.collections(),
}
NON_RETRYABLE: dict[str, Call] = {
    "delete": lambda store: store.delete("key"),
    "put_if_absent": lambda store: store.put_if_absent("key", {"n": 1}),
}
each_call = pytest.mark.parametrize(
    "call", [*RETRYABLE.values(), *NON_RETRYABLE.values()], ids=[*RETRYABLE, *NON_RETRYABLE]
)
each_retryable = pytest.mark.parametrize("call", RETRYABLE.values(), ids=RETRYABLE)
each_non_retryable = pytest.mark.parametrize("call", NON_RETRYABLE.values(), ids=NON_RETRYABLE)


@pytest.fixture
async def store(service: Service, place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    async with DynamoDBStore(**at(place, service.url)) as store:
        service.requests.clear()
        yield store


@pytest.fixture
async def hasty(service: Service, place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    """A store with a short timeout."""
    async with DynamoDBStore(**place):
        pass
    async with DynamoDBStore(**at(place, service.url), timeout=3.0) as store:
        service.requests.clear()
        yield store


# Unprocessed parts of a batch


@pytest.mark.parametrize("limit", [1, 7, 24])
async def test_unprocessed_batch_items_are_requested_again(
    store: DynamoDBStore, service: Service, raw: Raw, limit: int
) -> None:
    keys, values = KEYS[:30], VALUES[:30]
    service.max_per_batch = limit
    await store.put_many(keys, values)
    assert len(raw.names()) == 30
    assert await store.get_many(keys) == values
    assert await store.delete_many(keys[:20]) == 20
    assert len(raw.names()) == 10
    assert await store.get_many(keys) == [*[None] * 20, *values[20:]]


async def test_a_batch_that_is_never_completed_is_a_connection_error(hasty: DynamoDBStore, service: Service) -> None:
    service.max_per_batch = 0
    service.rule = nothing_processed
    for call in (lambda: hasty.put_many(KEYS[:3], VALUES[:3]), lambda: hasty.get_many(KEYS[:3])):
        start = time.monotonic()
        # The second message if the timeout expires while a request is in flight.
        with pytest.raises(StoreConnectionError, match=r"limits the rate|did not answer in time: the limit `timeout`"):
            await call()
        assert time.monotonic() - start < 30
    assert len(service.requests) > 4


def nothing_processed(asked: Asked) -> Any:
    left = {"BatchWriteItem": "UnprocessedItems", "BatchGetItem": "UnprocessedKeys"}.get(asked.operation)
    return None if left is None else web.json_response({left: asked.document["RequestItems"], "Responses": {}})


# Limited rates


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "ThrottlingException"])
@each_call
async def test_a_rate_limited_call_is_retried(store: DynamoDBStore, service: Service, call: Call, code: str) -> None:
    service.refuse(code, times=3)
    await call(store)
    assert max(service.operations().values()) == 4


@each_call
async def test_a_call_that_stays_rate_limited_is_a_connection_error_in_time(
    hasty: DynamoDBStore, service: Service, call: Call
) -> None:
    service.refuse("ThrottlingException")
    start = time.monotonic()
    with pytest.raises(StoreConnectionError) as refusal:
        await call(hasty)
    assert time.monotonic() - start < 30
    # On a busy machine the timeout can expire while the last attempt is in flight.
    assert "limits the rate of requests" in str(refusal.value) or isinstance(refusal.value, StoreTimeoutError)
    assert len(service.requests) > 2


async def test_retries_of_rate_limited_callers_are_spread_out(store: DynamoDBStore, service: Service) -> None:
    moments: list[float] = []
    throttled: set[str] = set()

    def rule(asked: Asked) -> Any:
        key = asked.document["Key"]["key"]["S"]
        if key in throttled:
            moments.append(time.monotonic())
            return None
        throttled.add(key)
        return refusal("ThrottlingException")

    service.rule = rule
    await asyncio.gather(*(store.get(key) for key in KEYS[:40]))
    moments.sort()
    # Forty random waits between 0 and 0.1 seconds.
    assert moments[-1] - moments[0] > 0.03


# A service that fails


@pytest.mark.parametrize("status", [500, 503])
@each_retryable
async def test_an_idempotent_call_is_retried_after_a_failure(
    store: DynamoDBStore, service: Service, call: Call, status: int
) -> None:
    service.refuse("InternalServerError", times=2, status=status)
    await call(store)
    assert max(service.operations().values()) == 3


@each_non_retryable
async def test_a_call_with_an_unknown_outcome_is_not_retried(
    store: DynamoDBStore, service: Service, call: Call
) -> None:
    service.refuse("ServiceUnavailable", status=503)
    with pytest.raises(StoreConnectionError, match="status 503"):
        await call(store)
    assert sum(service.operations().values()) == 1


@each_non_retryable
async def test_a_call_with_a_lost_answer_is_not_retried(store: DynamoDBStore, service: Service, call: Call) -> None:
    service.drops_replies = lambda _asked: True
    with pytest.raises(StoreConnectionError):
        await call(store)
    assert sum(service.operations().values()) == 1


async def test_a_conditional_write_with_a_lost_answer_is_executed_once(
    store: DynamoDBStore, service: Service, raw: Raw
) -> None:
    service.drops_replies = lambda _asked: True
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert raw.names() == [("default_collection", "key")]


async def test_an_html_page_of_another_server_is_a_setup_error(store: DynamoDBStore, service: Service) -> None:
    service.rule = lambda _asked: web.Response(text="<html>hunter2</html>", content_type="text/html")
    for call in (store.get("key"), store.put("key", {"n": 1})):
        with pytest.raises(StoreSetupError, match="not DynamoDB") as failure:
            await call
        assert "hunter2" not in str(failure.value)


# Reported reasons


MEANINGS: dict[str, tuple[str, str, type[BaseKeyValueError], str]] = {
    "access key": (
        "UnrecognizedClientException",
        "The security token is invalid",
        StoreSetupError,
        "access key is not known",
    ),
    "secret": ("InvalidSignatureException", "does not match", StoreSetupError, "wrong secret access key"),
    "clock": ("InvalidSignatureException", "Signature expired: 2", StoreSetupError, "clock of this machine"),
    "region": (
        "InvalidSignatureException",
        "Credential should be scoped to a valid region, not 'us-east-1'.",
        StoreSetupError,
        "another region",
    ),
    "token": ("ExpiredTokenException", "The security token included is expired", StoreSetupError, "token has expired"),
    "unsigned": ("MissingAuthenticationTokenException", "", StoreSetupError, "no credentials"),
    "permission": (
        "AccessDeniedException",
        "User: arn:aws:iam::1:user/x",
        StoreSetupError,
        "lack the right to GetItem",
    ),
    "table": ("ResourceNotFoundException", "", StoreSetupError, "no such table"),
    "other": ("ValidationException", "hunter2", KeyValueStoreError, "refuses GetItem (ValidationException)"),
}


@pytest.mark.parametrize("answer", MEANINGS.values(), ids=MEANINGS)
async def test_an_error_answer_is_reported_with_its_reason(
    store: DynamoDBStore, service: Service, answer: tuple[str, str, type[BaseKeyValueError], str]
) -> None:
    code, message, kind, reason = answer
    service.refuse(code, message=message)
    with pytest.raises(BaseKeyValueError) as refusal:
        await store.get("key")
    # Without retries.
    assert service.operations() == {"GetItem": 1}
    assert type(refusal.value) is kind
    assert reason in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
    assert type(refusal.value.__cause__).__module__.startswith("botocore")
    with pytest.raises(StoreSetupError):
        await store.setup()
