"""Calls started in one turn of the event loop, on a single server and on a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.stores.valkey import ValkeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from servers.valkey_cluster import ValkeyCluster

KEYS = [f"key {number}" for number in range(64)]
VALUES = [{"key": key} for key in KEYS]


@pytest.fixture
async def cluster_store(valkey_cluster: ValkeyCluster, raw_cluster: Any) -> AsyncIterator[ValkeyStore]:
    assert not raw_cluster.keys("*")
    async with ValkeyStore.from_url(f"{valkey_cluster.url}?cluster=true") as store:
        yield store


def reads(raw: Any) -> int:
    """Return how often the server has read from its connections."""
    return raw.info("stats")["total_reads_processed"]


async def test_calls_started_together_are_sent_together(store: ValkeyStore, raw: Any) -> None:
    await store.get("key")
    before = reads(raw)
    await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
    assert await asyncio.gather(*(store.get(key) for key in KEYS)) == VALUES
    assert reads(raw) - before < len(KEYS) / 4


async def test_calls_of_all_kinds_may_start_together(store: ValkeyStore) -> None:
    await check_calls_of_all_kinds(store)


async def test_calls_of_all_kinds_may_start_together_on_a_cluster(cluster_store: ValkeyStore) -> None:
    await check_calls_of_all_kinds(cluster_store)


async def check_calls_of_all_kinds(store: ValkeyStore) -> None:
    await store.put_many(["there", "going"], [{"n": 1}, {"n": 2}])
    assert await asyncio.gather(
        *(store.get("there"), store.get("missing"), store.delete("going"), store.delete("missing")),
        *(store.put("new", {"n": 3}, ttl=60), store.put_if_absent("first", {"n": 4})),
        *(store.put_if_absent("there", {"n": 5}), store.get_many(["missing", "there"])),
    ) == [{"n": 1}, None, True, False, None, True, False, [None, {"n": 1}]]
    assert sorted(await store.keys()) == ["first", "new", "there"]


async def test_an_error_reaches_only_its_own_caller(store: ValkeyStore, raw: Any) -> None:
    raw.hset("default_collection::hash", "field", "text")
    await check_error_reaches_only_its_own_caller(store)


async def test_an_error_reaches_only_its_own_caller_on_a_cluster(cluster_store: ValkeyStore, raw_cluster: Any) -> None:
    raw_cluster.hset("default_collection::hash", "field", "text")
    await check_error_reaches_only_its_own_caller(cluster_store)


async def check_error_reaches_only_its_own_caller(store: ValkeyStore) -> None:
    await store.put_many(KEYS, VALUES)
    calls = [store.get(key) for key in [*KEYS[:9], "hash", *KEYS[9:]]]
    answers: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
    failure = answers.pop(9)
    assert type(failure) is KeyValueStoreError
    assert "a value that is not a string is stored" in str(failure)
    assert answers == VALUES


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
@pytest.mark.parametrize("cancelled", [0, 1, 20])
async def test_a_cancelled_call_does_not_affect_other_calls(store: ValkeyStore, cancelled: int, turns: int) -> None:
    await store.put_many(KEYS, VALUES)
    calls = [asyncio.ensure_future(store.get(key)) for key in KEYS]
    for _ in range(turns):
        await asyncio.sleep(0)
    calls[cancelled].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers.pop(cancelled), asyncio.CancelledError)
    assert answers == [value for number, value in enumerate(VALUES) if number != cancelled]


async def test_a_call_cancelled_before_it_is_sent_is_not_executed(store: ValkeyStore) -> None:
    await store.get("key")
    calls = [asyncio.ensure_future(store.put(key, {})) for key in KEYS]
    await asyncio.sleep(0)
    for call in calls[1:]:
        call.cancel()
    await asyncio.wait(calls)
    assert await store.keys() == KEYS[:1]


async def test_scripts_missing_from_the_server_cache_are_sent_again(store: ValkeyStore, raw: Any) -> None:
    raw.script_flush()
    assert await asyncio.gather(*(store.put_if_absent(key, {"key": key}) for key in KEYS)) == [True] * len(KEYS)
    assert await store.get_many(KEYS) == VALUES


async def test_concurrent_large_and_small_values_are_stored(store: ValkeyStore) -> None:
    values = [{"text": "x" * (100_000 if number % 3 else 1)} for number in range(len(KEYS))]
    await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, values, strict=True)))
    assert await asyncio.gather(*(store.get(key) for key in KEYS)) == values
