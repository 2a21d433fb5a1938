"""Conditional writes against foreign writes, and against each other."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.mongodb import MongoDBStore
from rivals import RACES, winners_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

WRITES: dict[str, dict[str, Any]] = {
    "a part of the value": {"$set": {"value.object.n": 2}},
    "the value": {"$set": {"value": {"object": {"n": 1}}}},
    "the expiry": {"$set": {"expires_at": datetime(2100, 1, 1, tzinfo=timezone.utc)}},
    "the date": {"$set": {"created_at": datetime(2020, 1, 1, tzinfo=timezone.utc)}},
    "a number in the value": {"$inc": {"value.object.n": 1}},
}


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[MongoDBStore]:
    store = MongoDBStore(url=url, db_name=raw.name, timeout=30)
    yield store
    await store.close()


def documents(raw: Any) -> list[Any]:
    return list(raw["default_collection"].find())


async def version_of(store: MongoDBStore) -> str:
    version = (await store.get_versioned("a")).version
    assert version is not None
    return version


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_foreign_write_in_between_is_noticed(store: MongoDBStore, raw: Any, write: dict[str, Any]) -> None:
    await store.put("a", {"n": 1})
    version = await version_of(store)
    raw["default_collection"].update_one({"key": "a"}, write)
    before = documents(raw)
    assert await store.put_if_version("a", {"n": 3}, version) is False
    assert await store.delete_if_version("a", version) is False
    assert documents(raw) == before


async def test_a_document_without_a_revision_has_a_version(store: MongoDBStore, raw: Any) -> None:
    date = datetime(2026, 1, 1, tzinfo=timezone.utc)
    document = {"key": "a", "collection": "default_collection", "version": 1, "created_at": date}
    raw["default_collection"].insert_one({**document, "value": {"object": {"n": 1, "$a": [2.5]}}})
    version = await version_of(store)
    assert await version_of(store) == version
    assert await store.put_if_version("a", {"n": 2}, version) is True
    assert await store.put_if_version("a", {"n": 3}, version) is False
    assert await store.get("a") == {"n": 2}


async def test_storing_an_equal_value_again_changes_the_version(store: MongoDBStore) -> None:
    versions: set[str] = set()
    for _ in range(20):
        await store.put("a", {"n": 1})
        versions.add(await version_of(store))
    assert len(versions) == 20


async def test_an_expired_entry_is_replaced_by_exactly_one_call(url: str, store: MongoDBStore, raw: Any) -> None:
    past = datetime(2020, 1, 1, tzinfo=timezone.utc)
    # Without indexes, so that the server does not remove it first.
    raw["default_collection"].insert_one({"_id": 7, "key": "a", "value": {"object": {"n": 0}}, "expires_at": past})
    others = [MongoDBStore(url=url, db_name=raw.name, timeout=30) for _ in range(6)]
    won = await asyncio.gather(*(other.put_if_absent("a", {"n": n}) for n, other in enumerate(others)))
    await asyncio.gather(*(other.close() for other in others))
    assert sum(won) == 1
    assert await store.get("a") == {"n": won.index(True)}
    assert len(documents(raw)) == 1


@pytest.mark.parametrize("what", RACES)
async def test_exactly_one_racing_call_wins(url: str, store: MongoDBStore, raw: Any, what: str) -> None:
    if what != "put_if_absent":
        await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version or ""
    others = [MongoDBStore(url=url, db_name=raw.name, timeout=30) for _ in range(8)]
    await asyncio.gather(*(other.get("a") for other in others))
    assert await winners_of(others, what, version) == 1
    assert len(documents(raw)) == what.startswith("put")


async def test_concurrent_first_puts_of_a_key_leave_one_document(url: str, store: MongoDBStore, raw: Any) -> None:
    others = [MongoDBStore(url=url, db_name=raw.name, timeout=30) for _ in range(8)]
    puts = [other.put("a", {"n": number}) for number, other in enumerate(others)]
    batches = [other.put_many(["a", "b"], [{"n": number}] * 2) for number, other in enumerate(others)]
    await asyncio.gather(*puts, *batches)
    await asyncio.gather(*(other.close() for other in others))
    assert sorted(each["key"] for each in documents(raw)) == ["a", "b"]
    assert sorted(await store.keys()) == ["a", "b"]
