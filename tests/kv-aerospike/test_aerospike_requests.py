"""Requests sent for each call, as counted by the server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from key_value.aio.stores.aerospike import AerospikeStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Raw


async def test_each_operation_is_one_request_and_a_versioned_write_two(
    store: AerospikeStore, requests_made: Callable[[], dict[str, int]]
) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    assert requests_made() == {"client_write_success": 1}
    await store.get("key")
    await store.ttl("key")
    assert requests_made() == {"client_read_success": 2}
    assert await store.put_if_absent("new", {"n": 1})
    assert requests_made() == {"client_write_success": 1}
    version = (await store.get_versioned("key")).version
    assert version is not None
    requests_made()
    assert await store.put_if_version("key", {"n": 2}, version)
    assert requests_made() == {"client_read_success": 1, "client_write_success": 1}
    assert await store.delete("key")
    assert requests_made() == {"client_delete_success": 1}


async def test_a_batch_of_thousands_is_one_request_and_an_empty_batch_none(
    store: AerospikeStore, requests_made: Callable[[], dict[str, int]]
) -> None:
    keys = [f"key {number}" for number in range(5000)]
    await store.put_many(keys, [{"n": 1}] * 5000, ttl=600)
    assert requests_made() == {"batch_index_initiate": 1}
    assert await store.get_many(keys) == [{"n": 1}] * 5000
    assert requests_made() == {"batch_index_initiate": 1}
    assert await store.delete_many(keys) == 5000
    assert requests_made() == {"batch_index_initiate": 1}
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert requests_made() == {}


async def test_a_batch_above_the_server_limit_is_split(
    store: AerospikeStore, requests_made: Callable[[], dict[str, int]]
) -> None:
    keys = [f"key {number}" for number in range(5002)]
    await store.put_many(keys, [{"n": 1}] * 5002)
    assert requests_made() == {"batch_index_initiate": 2}
    assert await store.get_many(keys) == [{"n": 1}] * 5002
    assert await store.delete_many(keys) == 5002
    values = [{"text": "x" * 1_000_000}] * 40
    await store.put_many(keys[:40], values)
    assert await store.get_many(keys[:40]) == values


async def test_a_small_collection_is_listed_with_few_requests(
    store: AerospikeStore, requests_made: Callable[[], dict[str, int]]
) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="shelf")
    requests_made()
    assert sorted(await store.keys("shelf")) == ["a", "b"]
    # Queries of 1, 16, 256 and all remaining partitions.
    assert requests_made() == {"pi_query_long_basic_complete": 4}


async def test_pages_are_about_as_large_as_the_limit(store: AerospikeStore) -> None:
    keys = [f"key {number}" for number in range(20_000)]
    for start in range(0, 20_000, 5000):
        await store.put_many(keys[start : start + 5000], [{"n": 1}] * 5000, collection="shelf")
    sizes: list[int] = []
    cursor = None
    while not sizes or cursor is not None:
        page = await store.scan("shelf", cursor=cursor, limit=1000)
        sizes.append(len(page.keys))
        cursor = page.cursor
    assert sum(sizes) == 20_000
    assert max(sizes) < 1500
    assert len(sizes) <= 41  # each at least half full, except the last


@pytest.mark.parametrize(
    "cursor", ["0/1", "4096/1/", "0/0/", "0/4097/", "1/1/" + "0" * 40, "0/2/" + "0" * 40, "0/1/zz"]
)
async def test_an_invalid_cursor_is_refused(store: AerospikeStore, cursor: str) -> None:
    await store.put_many([f"key {number}" for number in range(100)], [{"n": 1}] * 100)
    valid = (await store.scan(limit=1)).cursor
    assert valid is not None
    with pytest.raises(ValueError, match="cursor"):
        await store.scan(cursor=valid[:9] + cursor)


async def test_concurrent_calls_of_many_tasks_are_answered(raw: Raw) -> None:
    async with AerospikeStore(**raw.options, max_connections=3) as store:
        await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number in range(500)))
        found = await asyncio.gather(*(store.get(f"key {number}") for number in range(500)))
        assert found == [{"n": number} for number in range(500)]
