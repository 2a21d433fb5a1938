"""What the service does under load and when it fails: limited rates, failures, answers that are lost; and its cost."""

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

from .conftest import at
from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from servers.s3 import S3Server

    from .conftest import Raw

    Call = Callable[[S3Store], Awaitable[object]]

KEYS = [f"key {number}" for number in range(120)]
VALUES = [{"key": key} for key in KEYS]

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
async def service(s3_server: S3Server) -> AsyncIterator[Service]:
    async with Service(s3_server.endpoint) as service:
        yield service


@pytest.fixture
async def store(service: Service, place: dict[str, Any]) -> AsyncIterator[S3Store]:
    async with S3Store(**at(place, service.url)) as store:
        service.requests.clear()
        yield store


@pytest.fixture
async def hasty(service: Service, place: dict[str, Any]) -> AsyncIterator[S3Store]:
    """A store whose time is soon over, with an entry."""
    async with S3Store(**place) as store:
        await store.put("key", {"n": 1})
    async with S3Store(**at(place, service.url), timeout=3.0) as store:
        service.requests.clear()
        yield store


# Requests


async def test_reading_or_writing_an_entry_is_one_request(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    assert service.operations() == {"PutObject": 1}
    await store.get("key")
    await store.ttl("key")
    await store.get("absent")
    assert service.operations() == {"GetObject": 3}


async def test_deleting_an_entry_looks_whether_it_is_there(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    assert await store.delete("key")
    # This server deletes what is not there whatever its ETag, so that one more request decides who has deleted it; and
    # another write can come into a look.
    assert service.operations() == {"HeadObject": 2, "PutObject": 1, "DeleteObject": 1}
    assert not await store.delete("key")
    assert service.operations() == {"HeadObject": 1}


async def test_a_batch_is_one_request_for_each_entry(store: S3Store, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.operations() == {"PutObject": len(KEYS)}
    await store.get_many(KEYS)
    assert service.operations() == {"GetObject": len(KEYS)}


async def test_a_batch_is_deleted_by_one_request_for_a_thousand(store: S3Store, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert await store.delete_many([*KEYS, "absent"]) == len(KEYS)
    assert service.operations() == {"HeadObject": len(KEYS) + 1, "DeleteObjects": 1}
    assert await store.keys() == []


async def test_a_page_is_one_request_and_one_for_each_key_in_it(store: S3Store, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    page = await store.scan(limit=50)
    assert len(page.keys) == 50
    assert service.operations() == {"ListObjectsV2": 1, "HeadObject": 50}


async def test_a_prefix_is_looked_up_and_not_filtered(store: S3Store, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert (await store.scan(prefix="key 11")).keys == ["key 11", *(f"key {number}" for number in range(110, 120))]
    assert service.operations() == {"ListObjectsV2": 1, "HeadObject": 11}


async def test_conditional_writes_are_few_requests(store: S3Store, service: Service) -> None:
    assert await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"PutObject": 1}
    _, _, version = await store.get_versioned("key")
    assert service.operations() == {"GetObject": 1}
    assert version is not None
    assert await store.put_if_version("key", {"n": 2}, version)
    assert service.operations() == {"PutObject": 1}


async def test_no_request_is_sent_for_an_empty_batch(store: S3Store, service: Service) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert service.operations() == {}


async def test_what_a_server_does_is_found_out_once(store: S3Store, service: Service) -> None:
    await store.setup()
    assert service.operations() == {"ListObjectsV2": 1, "PutObject": 1, "GetObject": 1, "DeleteObject": 1}


async def test_finding_out_what_a_server_does_leaves_nothing(store: S3Store, raw: Any) -> None:
    await store.setup()
    assert raw.names() == []


async def test_stores_that_find_out_at_once_share_no_folder(service: Service, place: dict[str, Any]) -> None:
    folders: list[set[str]] = []
    for _ in range(2):
        service.requests.clear()
        async with S3Store(**at(place, service.url)):
            names = [asked.name.strip("/") for asked in service.requests if asked.operation == "PutObject"]
        folders.append({name.partition("/")[0] for name in names if "/" in name})
    assert folders[0]
    assert folders[0].isdisjoint(folders[1])


async def test_the_first_use_without_setup_finds_out_nothing_that_does_not_matter(
    service: Service, place: dict[str, Any]
) -> None:
    store = S3Store(**at(place, service.url))
    await store.put("key", {"n": 1})
    assert service.operations() == {"ListObjectsV2": 1, "CreateBucket": 1, "PutObject": 1}
    await store.close()


# Limited rates and failures


@each_call
@pytest.mark.parametrize("code", ["SlowDown", "ServiceUnavailable"])
async def test_a_call_over_the_rate_is_made_again(store: S3Store, service: Service, call: Call, code: str) -> None:
    await store.put("key", {"n": 1})
    service.refuse(code, times=2)
    await call(store)


@each_call
async def test_a_call_that_stays_over_the_rate_is_a_connection_error_in_time(
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


async def test_callers_over_the_rate_do_not_come_again_all_at_once(store: S3Store, service: Service) -> None:
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


async def test_a_read_outlives_a_failure(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.refuse("InternalError", status=500, times=2)
    assert await store.get("key") == {"n": 1}


async def test_a_read_whose_answer_is_lost_is_made_again(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    lost = iter([True])
    service.loses_answers = lambda _asked: next(lost, False)
    assert await store.get("key") == {"n": 1}


async def test_a_conditional_write_whose_answer_is_lost_is_not_repeated(store: S3Store, service: Service) -> None:
    lost = iter([True])
    service.loses_answers = lambda _asked: next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.put_if_absent("key", {"n": 1})
    assert service.operations() == {"PutObject": 1}
    assert await store.get("key") == {"n": 1}


async def test_a_deletion_whose_answer_is_lost_is_not_repeated(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.requests.clear()
    _, _, version = await store.get_versioned("key")
    assert version is not None
    lost = iter([True])
    service.loses_answers = lambda asked: asked.operation != "GetObject" and next(lost, False)
    with pytest.raises(StoreConnectionError):
        await store.delete_if_version("key", version)


async def test_a_conditional_write_that_was_repeated_on_its_way_is_not_denied(
    store: S3Store, service: Service, raw: Any
) -> None:
    """A proxy, or a client that was passed in, repeats a request: the second time, the condition fails."""
    assert await store.put_if_absent("other", {})
    lost = iter([True])

    def repeat(asked: Any) -> Any:
        if asked.operation == "PutObject" and next(lost, False):
            # What the first of the two has written.
            revision = asked.headers["x-amz-meta-revision"]
            created_at = asked.headers["x-amz-meta-created-at"]
            raw.put("default_collection/key", b"", Metadata={"revision": revision, "created-at": created_at})

    service.rule = repeat
    assert await store.put_if_absent("key", {"n": 1})


# A look that another write comes into: the metadata of the old object, and the ETag of the new one.

NAME = "default_collection/key"
EXPIRED = {"created-at": "2026-01-01T00:00:00+00:00", "expires-at": "2026-01-02T00:00:00+00:00", "revision": "1"}


def between(service: Service, raw: Raw, write: Callable[[], None], *, look: int = 1) -> None:
    """Have the look of that number give what it found before the write, with the ETag of afterwards."""
    looks = iter([*[False] * (look - 1), True])

    def rule(asked: Any) -> Any:
        if asked.operation != "HeadObject" or not next(looks, False):
            return None
        from aiohttp import web

        marks = {f"x-amz-meta-{name}": text for name, text in raw.metadata(NAME).items()}
        write()
        etag = raw.client.head_object(Bucket=raw.bucket, Key=NAME)["ETag"]
        return web.Response(headers={**marks, "ETag": etag})

    service.rule = rule


async def test_a_deletion_that_was_another_s_is_not_taken_for_ours(store: S3Store, service: Service, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    between(service, raw, lambda: raw.put(NAME, b"{}", Metadata=EXPIRED))
    assert await store.delete("key") is False


@pytest.mark.parametrize("call", ["put_if_absent", "cull"])
async def test_an_entry_that_takes_the_place_of_an_expired_one_stays(
    store: S3Store, service: Service, raw: Raw, call: str
) -> None:
    await store.put("key", {"n": 1})
    text, marks = raw.get(NAME) or b"", raw.metadata(NAME)
    raw.put(NAME, b"{}", Metadata=EXPIRED)
    # The first look of `put_if_absent` is for a request that was repeated on its way.
    look = 2 if call == "put_if_absent" else 1
    between(service, raw, lambda: raw.put(NAME, text, Metadata=marks), look=look)
    if call == "cull":
        await store.cull()
    else:
        assert await store.put_if_absent("key", {"n": 2}) is False
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("code", ["ConditionalRequestConflict", "ExistingObjectIsDirectory"])
async def test_a_conflict_with_another_write_is_tried_again(store: S3Store, service: Service, code: str) -> None:
    service.refuse(code, status=409, operation="PutObject", times=2)
    assert await store.put_if_absent("key", {"n": 1})


async def test_a_batch_with_a_part_that_was_refused_is_told(store: S3Store, service: Service) -> None:
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
    # What was refused among others is asked for alone.
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
async def test_an_answer_with_an_error_says_what_is_wrong(
    store: S3Store, service: Service, answer: tuple[str, int], meaning: tuple[type[BaseKeyValueError], str]
) -> None:
    code, status = answer
    service.refuse(code, status=status)
    with pytest.raises(meaning[0], match=meaning[1]) as caught:
        await store.get("key")
    assert "hunter2" not in str(caught.value)


async def test_a_bucket_that_has_moved_is_asked_for_through_the_client(store: S3Store, service: Service) -> None:
    await store.put("key", {"n": 1})
    service.refuse("PermanentRedirect", status=301, times=1, operation="GetObject")
    assert await store.get("key") == {"n": 1}


# Load


async def test_no_more_requests_are_under_way_than_allowed(service: Service, place: dict[str, Any]) -> None:
    async with S3Store(**at(place, service.url), max_connections=7) as store:
        service.hold(7)
        await asyncio.gather(store.put_many(KEYS, VALUES), *(store.get(key) for key in KEYS))
    assert service.most_under_way == 7


async def test_a_batch_that_fails_leaves_nothing_under_way(store: S3Store, service: Service) -> None:
    service.refuse("AccessDenied", status=403, times=1)
    with pytest.raises(StoreSetupError):
        await store.get_many(KEYS)
    before = len(service.requests)
    await asyncio.sleep(0.1)
    assert len(service.requests) == before


async def test_a_slow_service_is_a_timeout(hasty: S3Store, service: Service) -> None:
    service.delay = 3600
    start = time.monotonic()
    with pytest.raises(StoreTimeoutError, match="limit `timeout`"):
        await hasty.get("key")
    assert time.monotonic() - start < 30


async def test_a_page_has_the_time_of_a_thousand_entries_whatever_its_limit(
    store: S3Store, service: Service, place: dict[str, Any]
) -> None:
    await store.put_many(KEYS[:10], VALUES[:10])
    async with S3Store(**at(place, service.url), timeout=1.0, max_connections=1) as slow:
        service.delay = 0.5
        with pytest.raises(StoreTimeoutError):
            await slow.scan(limit=10**6)
