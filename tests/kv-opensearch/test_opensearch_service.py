"""A server that refuses, fails or is slow."""

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
)
from key_value.aio.stores.opensearch import OpenSearchStore
from opensearchpy import AsyncOpenSearch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from .conftest import Raw
    from .service import Service

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
async def store(service: Service, raw: Raw) -> AsyncIterator[OpenSearchStore]:
    """Yield a store with an existing index."""
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix) as store:
        await store.put("key", {"n": 1})
        service.requests.clear()
        yield store


# Refusals


@pytest.mark.parametrize(
    ("answer", "error", "reason"),
    [
        ((401, "security_exception"), StoreSetupError, "credentials"),
        ((403, "security_exception"), StoreSetupError, "lack a required permission"),
        ((403, "cluster_block_exception"), KeyValueStoreError, "blocked"),
        ((400, "illegal_argument_exception"), KeyValueStoreError, "illegal_argument_exception"),
        ((413, ""), KeyValueStoreError, "exceeds the size limit"),
        ((500, "null_pointer_exception"), StoreConnectionError, "null_pointer_exception"),
        ((500, "hunter2 words"), StoreConnectionError, "status 500"),
    ],
)
async def test_a_refusal_has_its_error_and_reason_without_the_servers_text(
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


async def test_setup_reports_a_missing_write_permission(store: OpenSearchStore, service: Service) -> None:
    def forbid(operation: str, answer: Any) -> Any:
        error = {"type": "security_exception", "reason": "hunter2"}
        if operation == "_bulk":
            answer["items"] = [{"delete": {"_id": "a", "status": 403, "error": error}}]
        return answer

    service.change = forbid
    with pytest.raises(StoreSetupError, match="lack a required permission"):
        await store.setup()


async def test_a_partly_refused_batch_names_the_refused_entries(store: OpenSearchStore, service: Service) -> None:
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


async def test_rejected_entries_of_a_batch_are_sent_again(store: OpenSearchStore, service: Service) -> None:
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


async def test_a_read_is_repeated_while_no_shard_is_available(store: OpenSearchStore, service: Service) -> None:
    # As from a node that knows of a new index but has not opened it yet.
    failures = iter([True, True, False, True, False])

    def fail(operation: str, answer: Any) -> Any:
        if operation == "_mget" and next(failures):
            answer["docs"][-1] = {"_index": "hunter2", "_id": answer["docs"][-1]["_id"], "error": NO_SHARD}
        return answer

    service.change = fail
    assert await store.get("key") == {"n": 1}
    assert await store.get_many(["absent", "key"]) == [None, {"n": 1}]
    assert service.operations() == {"_mget": 5}


async def test_a_put_but_not_a_creation_is_repeated_while_no_shard_is_available(
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
async def test_a_call_rejected_by_a_busy_server_is_repeated(
    store: OpenSearchStore, service: Service, call: Call
) -> None:
    service.refuse(429, "circuit_breaking_exception", times=2)
    await call(store)


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
async def test_a_repeatable_call_is_repeated_when_the_server_is_unavailable(
    store: OpenSearchStore, service: Service, call: Call
) -> None:
    service.refuse(503, "no_shard_available_action_exception", times=2)
    await call(store)


@pytest.mark.parametrize("call", ONCE.values(), ids=ONCE)
@pytest.mark.parametrize("own_client", [True, False])
async def test_other_calls_are_not_repeated_when_the_server_is_unavailable(
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


async def test_a_lost_answer_is_a_connection_error(store: OpenSearchStore, service: Service) -> None:
    service.drops_replies = lambda _asked: True
    for call in (store.get("key"), store.delete("key"), store.put_if_absent("new", {})):
        with pytest.raises(StoreConnectionError):
            await call
    service.drops_replies = lambda _asked: False
    service.requests.clear()
    assert await store.get("key") == {"n": 1}


async def test_a_listing_with_missing_shards_is_a_connection_error(store: OpenSearchStore, service: Service) -> None:
    service.change = lambda _, answer: {**answer, "_shards": {"total": 2, "successful": 1, "failed": 1}}
    for call in (store.keys(), store.collections()):
        with pytest.raises(StoreConnectionError, match="some shards of the index"):
            await call


async def test_a_server_that_is_not_opensearch_is_a_setup_error(service: Service, raw: Raw) -> None:
    service.change = lambda _operation, _answer: ["<html>"]
    store = OpenSearchStore(url=service.url, index_prefix=raw.prefix)
    with pytest.raises(StoreSetupError, match="such a server"):
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


async def test_no_more_requests_are_in_flight_than_allowed(service: Service, raw: Raw) -> None:
    async with OpenSearchStore(url=service.url, index_prefix=raw.prefix, max_connections=5) as store:
        await store.put("key", {"n": 1})
        service.hold(5)
        service.delay = 0.02
        await asyncio.gather(*(store.get(key) for key in KEYS[:60]))
        assert service.max_in_flight == 5


# Closing


async def test_closing_under_load_lets_calls_finish(service: Service, raw: Raw) -> None:
    store = OpenSearchStore(url=service.url, index_prefix=raw.prefix)
    await store.put("key", {"n": 1})
    service.hold(21)
    calls = [asyncio.ensure_future(store.get("key")) for _ in range(20)]
    await service.wait_for_in_flight(20)
    closing = asyncio.ensure_future(store.close())
    await asyncio.sleep(0)
    service.hold(0)
    await closing
    assert await asyncio.gather(*calls) == [{"n": 1}] * 20
    assert await store.get("key") == {"n": 1}
    await store.close()
