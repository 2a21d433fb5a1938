"""Items written and read by the predecessor."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.stores.dynamodb import DynamoDBStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

VALUES: dict[str, dict[str, Any]] = {
    "plain": {"name": "Alice", "n": 1.5, "ok": True, "none": None, "roles": ["a", "b"]},
    "unicode": {"höme": "é 🌍 \u2028 \x00"},
    "big integers": {"positive": 2**70, "negative": -(2**70)},
    "50 KB": {"text": "x" * 50_000},
    "https://example.com/a%2Fb?id=1#%~x": {"n": 1},
}


@pytest.fixture
async def store(place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    async with DynamoDBStore(**place) as store:
        yield store


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], place: dict[str, Any]) -> Callable[..., list[Any]]:
    """Call the predecessor's DynamoDBStore on the same table, in a separate process."""
    return partial(predecessor_of("dynamodb").call, f"DynamoDBStore(**{place})")


async def test_the_predecessor_reads_entries_of_this_store(
    store: DynamoDBStore, predecessor: Callable[..., list[Any]]
) -> None:
    keys, values = list(VALUES), list(VALUES.values())
    await store.put_many(keys, values, collection="batch")
    for key, value in VALUES.items():
        await store.put(key, value, collection="single:names", ttl=1000)
    found = await asyncio.to_thread(
        predecessor,
        ("get_many", {"keys": keys, "collection": "batch"}),
        ("get_many", {"keys": keys, "collection": "single:names"}),
        ("ttl", {"key": "plain", "collection": "single:names"}),
        ("delete", {"key": "plain", "collection": "batch"}),
    )
    assert found[:2] == [values, values]
    assert found[2] == [VALUES["plain"], pytest.approx(1000, abs=60)]
    assert found[3] is True
    assert await store.get("plain", collection="batch") is None


async def test_this_store_reads_entries_of_the_predecessor(
    store: DynamoDBStore, predecessor: Callable[..., list[Any]]
) -> None:
    keys, values = list(VALUES), list(VALUES.values())
    await asyncio.to_thread(
        predecessor,
        ("put_many", {"keys": keys, "values": values, "collection": "batch", "ttl": 1000}),
        *(("put", {"key": key, "value": value, "collection": "single:names"}) for key, value in VALUES.items()),
    )
    assert [value for value, _ in await store.ttl_many(keys, collection="batch")] == values
    assert [ttl for _, ttl in await store.ttl_many(keys, collection="batch")] == [pytest.approx(1000, abs=60)] * len(
        keys
    )
    assert await store.get_many(keys, collection="single:names") == values
    assert sorted(await store.keys("batch")) == sorted(keys)
    assert sorted(await store.collections()) == ["batch", "single:names"]
    assert await store.delete_many(keys, collection="batch") == len(keys)
    assert await store.destroy_collection("single:names") is True


async def test_a_write_by_the_predecessor_changes_the_version(
    store: DynamoDBStore, predecessor: Callable[..., list[Any]]
) -> None:
    await exchange.check_versions(store, predecessor)
