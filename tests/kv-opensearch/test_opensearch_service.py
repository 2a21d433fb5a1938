"""The requests of a store, and what it makes of a server that refuses, fails or is slow."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.search.errors import DocumentsError
from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
    ValueTooLargeError,
)
from key_value.aio.stores.opensearch import OpenSearchStore
from opensearchpy import AsyncOpenSearch

from .service import Service

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .conftest import Raw

    Call = Callable[[OpenSearchStore], Awaitable[object]]

KEYS = [f"key {number}" for number in range(250)]
VALUES: list[dict[str, Any]] = [{"key": key} for key in KEYS]

REPEATABLE: dict[str, Call] = {
    "get": lambda store: store.get("key"),
    "put": lambda store: store.put("key", {"n": 1}),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [{}, {}]),
    "keys": lambda store: store.keys(),
    "collections": lambda store: store.collections(),
    "cull": lambda store: store.cull(),
}
ONCE: dict[str, Call] = {
    "delete": lambda store: store.delete("key"),
    "put_if_absent": lambda store: store.put_if_absent("new", {"n": 1}),
}


@pytest.fixture
async def service(raw: Raw) -> AsyncIterator[Service]:
    async with Service(raw.server.url) as service:
        yield service


@pytest.fixture
async def store(service: Service, raw: Raw) -> AsyncIterator[OpenSearchStore]:
    """One whose index there is."""
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        yield store


# Requests


async def test_an_operation_is_one_request_and_a_deletion_two(store: OpenSearchStore, service: Service) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    await store.get("key")
    await store.ttl("key")
    assert service.in_order() == ["_bulk", "_mget", "_mget"]
    assert await store.put_if_absent("other", {"n": 1}) is True
    assert service.in_order() == ["_bulk"]
    assert await store.put_if_absent("other", {"n": 1}) is False
    assert service.in_order() == ["_bulk", "_mget"]
    assert await store.delete("key") is True
    assert service.in_order() == ["_mget", "_bulk"]
    assert await store.delete("key") is False
    assert service.in_order() == ["_mget"]


async def test_a_conditional_write_is_one_request(store: OpenSearchStore, service: Service) -> None:
    version = (await store.get_versioned("key")).version
    assert version is not None
    assert service.in_order() == ["_mget"]
    assert await store.put_if_version("key", {"n": 2}, version) is True
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert service.in_order() == ["_bulk"] * 3


async def test_a_batch_is_one_request_and_of_deletions_two(store: OpenSearchStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    assert service.in_order() == ["_bulk"]
    assert await store.get_many(KEYS) == VALUES
    assert service.in_order() == ["_mget"]
    assert await store.delete_many([*KEYS, "absent"]) == 250
    assert service.in_order() == ["_mget", "_bulk"]


async def test_a_large_batch_is_cut(store: OpenSearchStore, service: Service) -> None:
    keys = [f"key {number}" for number in range(2500)]
    await store.put_many(keys, [{"n": 1}] * 2500)
    assert service.in_order() == ["_bulk"]
    assert await store.get_many(keys) == [{"n": 1}] * 2500
    assert service.in_order() == ["_mget"] * 3
    await store.put_many(KEYS[:5], [{"text": "x" * 2_000_000}] * 5)
    assert service.in_order() == ["_bulk"] * 3


async def test_listing_refreshes_the_index_first_and_then_takes_a_request_for_each_page(
    store: OpenSearchStore, service: Service
) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    page = await store.scan(limit=200)
    assert service.in_order() == ["_refresh", "_search"]
    rest = await store.scan(limit=200, cursor=page.cursor)
    assert service.in_order() == ["_search"]
    assert sorted(page.keys + rest.keys) == sorted(["key", *KEYS])
    assert await store.collections() == ["default_collection"]
    assert service.in_order() == ["_refresh", "_search"]
    await store.cull()
    assert service.in_order() == ["_refresh", "_delete_by_query"]


async def test_the_prefix_goes_to_the_server(store: OpenSearchStore, service: Service) -> None:
    await store.put_many(KEYS, VALUES)
    service.requests.clear()
    assert len((await store.scan(prefix="key 24", limit=1000)).keys) == 11
    [_, asked] = service.requests
    assert {"range": {"key": {"gte": "key 24", "lt": "key 25"}}} in asked.document["query"]["bool"]["filter"]


async def test_the_first_write_to_a_collection_creates_its_index_and_a_read_does_not(
    store: OpenSearchStore, service: Service, raw: Raw
) -> None:
    assert await store.get("a", collection="shelf") is None
    assert await store.keys("shelf") == []
    assert await store.delete("a", collection="shelf") is False
    assert await store.destroy_collection("shelf") is False
    assert raw.indices() == [f"{raw.prefix}-default_collection"]
    service.requests.clear()
    await store.put("a", {"n": 1}, collection="shelf")
    await store.put("a", {"n": 1}, collection="shelf")
    assert service.in_order() == ["_mapping", "PUT", "_bulk", "_bulk"]


async def test_nothing_is_sent_for_an_empty_batch_or_what_is_too_large(
    store: OpenSearchStore, service: Service
) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    with pytest.raises(ValueTooLargeError):
        await store.put_many(["key", "large"], [{}, {"text": "x" * 50_000_000}])
    assert service.in_order() == []


@pytest.mark.parametrize(
    ("refresh", "asked", "listed"),
    [
        ("write", "?refresh=true", [["key"]]),
        ("wait_for", "?refresh=wait_for", [["key"]]),
        ("interval", "", [["key"], []]),
    ],
)
async def test_who_sees_to_what_is_listed_can_be_chosen(
    service: Service, raw: Raw, refresh: Any, asked: str, listed: list[list[str]]
) -> None:
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix, refresh=refresh) as store:
        await store.put("key", {"n": 1})
        assert service.requests[-1].name.endswith(f"/_bulk{asked}")
        service.requests.clear()
        assert await store.keys() in listed
        assert service.in_order() == ["_search"]


# Refusals


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ((401, "security_exception"), StoreSetupError, "credentials"),
        ((403, "security_exception"), StoreSetupError, "lack a right"),
        ((403, "cluster_block_exception"), KeyValueStoreError, "blocked"),
        ((400, "illegal_argument_exception"), KeyValueStoreError, "illegal_argument_exception"),
        ((413, ""), KeyValueStoreError, "larger than the server"),
        ((500, "null_pointer_exception"), StoreConnectionError, "null_pointer_exception"),
        ((500, "hunter2 words"), StoreConnectionError, "status 500"),
    ],
)
async def test_a_refusal_has_its_error_and_reason_and_not_the_servers_words(
    store: OpenSearchStore, service: Service, answer: tuple[int, str], error: type[Exception], reason: str
) -> None:
    service.refuse(*answer, reason="hunter2")
    for call in (store.get("key"), store.put("key", {"n": 2}), store.keys(), store.delete("key")):
        with pytest.raises(BaseKeyValueError, match=reason) as refused:
            await call
        assert type(refused.value) is error
        assert "hunter2" not in f"{refused.value!r} {refused.value}"
        assert type(refused.value.__cause__).__module__.startswith("opensearchpy")
    with pytest.raises(BaseKeyValueError, match=reason):
        await store.setup()


async def test_a_right_to_write_that_is_missing_is_told_by_setup(store: OpenSearchStore, service: Service) -> None:
    def forbid(operation: str, answer: Any) -> Any:
        error = {"type": "security_exception", "reason": "hunter2"}
        if operation == "_bulk":
            answer["items"] = [{"delete": {"_id": "a", "status": 403, "error": error}}]
        return answer

    service.change = forbid
    with pytest.raises(StoreSetupError, match="lack a right"):
        await store.setup()


async def test_a_batch_of_which_a_part_is_refused_tells_which(store: OpenSearchStore, service: Service) -> None:
    def refuse(operation: str, answer: Any) -> Any:
        if operation == "_bulk":
            for number in (1, 3):
                error = {"type": "mapper_parsing_exception", "reason": "hunter2"}
                answer["items"][number]["index"] |= {"status": 400, "error": error}
        return answer

    service.change = refuse
    with pytest.raises(KeyValueStoreError, match=r"2 of 5 entries .* 'key 1', 'key 3'.*mapper_parsing") as refused:
        await store.put_many(KEYS[:5], VALUES[:5])
    assert "hunter2" not in str(refused.value)
    assert isinstance(refused.value.__cause__, DocumentsError)
    assert refused.value.__cause__.keys == ["key 1", "key 3"]


async def test_what_a_batch_had_no_room_for_is_asked_for_again(store: OpenSearchStore, service: Service) -> None:
    rejected = 0

    def reject(operation: str, answer: Any) -> Any:
        nonlocal rejected
        if operation == "_bulk" and rejected < 2:
            rejected += 1
            answer["items"][0]["index"] |= {"status": 429, "error": {"type": "rejected_execution_exception"}}
        return answer

    service.change = reject
    await store.put_many(KEYS[:3], VALUES[:3])
    asked = [each.body.count(b"\n") // 2 for each in service.requests]
    assert asked == [3, 1, 1]
    assert await store.get_many(KEYS[:3]) == VALUES[:3]


NO_SHARD = {"type": "no_shard_available_action_exception", "reason": "hunter2"}


async def test_a_document_that_no_shard_has_yet_is_asked_for_again(store: OpenSearchStore, service: Service) -> None:
    # As by a node that knows of a new index before it has opened it.
    failures = iter([True, True, False, True, False])

    def fail(operation: str, answer: Any) -> Any:
        if operation == "_mget" and next(failures):
            answer["docs"][-1] = {"_index": "hunter2", "_id": answer["docs"][-1]["_id"], "error": NO_SHARD}
        return answer

    service.change = fail
    assert await store.get("key") == {"n": 1}
    assert await store.get_many(["absent", "key"]) == [None, {"n": 1}]
    assert service.operations() == {"_mget": 5}


async def test_a_put_that_no_shard_takes_yet_is_made_again_and_a_creation_is_not(
    store: OpenSearchStore, service: Service
) -> None:
    failures = iter([True, True, False, True])

    def fail(operation: str, answer: Any) -> Any:
        if operation == "_bulk" and next(failures):
            answer["items"] = [
                {each: {**item[each], "status": 503, "error": NO_SHARD}} for item in answer["items"] for each in item
            ]
        return answer

    service.change = fail
    await store.put_many(KEYS[:3], VALUES[:3])
    assert service.operations() == {"_bulk": 3}
    with pytest.raises(StoreConnectionError, match="no_shard_available"):
        await store.put_if_absent("new", {"n": 1})
    assert service.operations() == {"_bulk": 1}


@pytest.mark.parametrize("call", [*REPEATABLE.values(), *ONCE.values()], ids=[*REPEATABLE, *ONCE])
async def test_a_call_that_the_server_had_no_room_for_is_made_again(
    store: OpenSearchStore, service: Service, call: Call
) -> None:
    service.refuse(429, "circuit_breaking_exception", times=2)
    await call(store)


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
async def test_what_can_be_repeated_is_when_the_server_is_unavailable(
    store: OpenSearchStore, service: Service, call: Call
) -> None:
    service.refuse(503, "no_shard_available_action_exception", times=2)
    await call(store)


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE)
@pytest.mark.parametrize("own_client", [True, False])
async def test_what_cannot_be_repeated_is_not(
    service: Service,
    raw: Raw,
    call: Call,
    own_client: bool,  # noqa: FBT001 — a parameter of the test
) -> None:
    client = AsyncOpenSearch(hosts=[service.url], max_retries=3)
    place: dict[str, Any] = {"url": service.url} if own_client else {"opensearch_client": client}
    async with OpenSearchStore(**place, index_prefix=raw.prefix) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        service.refuse(503, "unavailable_shards_exception", operation="_bulk")
        with pytest.raises(StoreConnectionError):
            await call(store)
        assert service.in_order().count("_bulk") == 1
        service.rule = lambda _asked: None
    await client.close()


async def test_an_answer_that_is_lost_is_a_connection_error(store: OpenSearchStore, service: Service) -> None:
    service.loses_answers = lambda _asked: True
    for call in (store.get("key"), store.delete("key"), store.put_if_absent("new", {})):
        with pytest.raises(StoreConnectionError):
            await call
    service.loses_answers = lambda _asked: False
    service.requests.clear()
    assert await store.get("key") == {"n": 1}


async def test_a_listing_that_misses_a_part_of_the_index_is_a_connection_error(
    store: OpenSearchStore, service: Service
) -> None:
    service.change = lambda _, answer: {**answer, "_shards": {"total": 2, "successful": 1, "failed": 1}}
    for call in (store.keys(), store.collections()):
        with pytest.raises(StoreConnectionError, match="part of the index"):
            await call


async def test_a_server_that_is_none_is_a_setup_error(service: Service, raw: Raw) -> None:
    service.change = lambda _operation, _answer: ["<html>"]
    store = OpenSearchStore(url=service.url, index_prefix=raw.prefix)
    with pytest.raises(StoreSetupError, match="no such server"):
        await store.setup()
    await store.close()


async def test_a_slow_server_is_a_timeout(service: Service, raw: Raw) -> None:
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix) as store:
        await store.put("key", {"n": 1})
    hasty = OpenSearchStore(url=service.url, index_prefix=raw.prefix, timeout=1.0)
    service.delay = 3600
    start = time.monotonic()
    for call in (hasty.get("key"), hasty.put("key", {"n": 2}), hasty.keys()):
        with pytest.raises(StoreTimeoutError, match="timeout"):
            await call
    assert time.monotonic() - start < 60
    await hasty.close()


async def test_no_more_requests_are_under_way_than_allowed(service: Service, raw: Raw) -> None:
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix, max_connections=5) as store:
        await store.put("key", {"n": 1})
        service.hold(5)
        service.delay = 0.02
        await asyncio.gather(*(store.get(key) for key in KEYS[:60]))
        assert service.most_under_way == 5


# Closing


async def test_closing_under_load_lets_calls_end(service: Service, raw: Raw) -> None:
    store = OpenSearchStore(url=service.url, index_prefix=raw.prefix)
    await store.put("key", {"n": 1})
    service.hold(21)
    calls = [asyncio.ensure_future(store.get("key")) for _ in range(20)]
    await service.until_under_way(20)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    service.hold(0)
    await closing
    assert await asyncio.gather(*calls) == [{"n": 1}] * 20
    assert await store.get("key") == {"n": 1}
    await store.close()
