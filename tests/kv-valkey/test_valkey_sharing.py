"""Enumerate and destroy entries in a database shared with other applications."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.valkey import ValkeyStore
from redis_cases import SharedDatabaseCases, written

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


class TestValkeyStoreInASharedDatabase(SharedDatabaseCases):
    @pytest.fixture
    async def other_database(self, url: str) -> AsyncIterator[ValkeyStore]:
        async with ValkeyStore.from_url(f"{url.rpartition('/')[0]}/3") as store:
            yield store


async def test_a_scan_examines_no_more_names_than_exist_and_continues_in_another_store(
    store: ValkeyStore, url: str, commands_run: Callable[[], dict[str, int]]
) -> None:
    keys = [f"key {number}" for number in range(2500)]
    await store.put_many(keys, [{"n": 1}] * 2500)
    commands_run()
    found: list[str] = []
    cursor = None
    while True:
        async with ValkeyStore.from_url(url) as other:
            page = await other.scan(cursor=cursor, limit=500)
        found += page.keys
        cursor = page.cursor
        if cursor is None:
            break
    assert set(found) == set(keys)
    assert commands_run()["scan"] <= 8


# Versions, with writers that do not use them


async def test_a_write_by_another_application_changes_the_version(store: ValkeyStore, raw: Any) -> None:
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version
    assert version is not None
    raw.set("default_collection::key", written("default_collection", "key"))
    assert await store.put_if_version("key", {"n": 2}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert await store.get("key") == {"n": 1}


async def test_a_script_missing_from_the_server_cache_is_sent_again(store: ValkeyStore, raw: Any) -> None:
    assert await store.put_if_absent("one", {"n": 1}) is True
    raw.script_flush()
    assert await store.put_if_absent("two", {"n": 1}) is True
    assert await store.put_if_absent("two", {"n": 2}) is False


async def test_expiry_has_millisecond_precision(store: ValkeyStore, raw: Any) -> None:
    start = time.time()
    await store.put("one", {"n": 1}, ttl=61.9)
    await store.put_many(["two", "three"], [{"n": 1}] * 2, ttl=61.9)
    expiries = [raw.pexpiretime(f"default_collection::{key}") / 1000 for key in ("one", "two", "three")]
    # A server reads the clock once for all the commands it has received.
    assert start + 61.9 - 0.2 < min(expiries) <= max(expiries) < time.time() + 61.9
    await store.put_many(["one", "two"], [{"n": 1}] * 2)
    assert raw.pttl("default_collection::one") == raw.pttl("default_collection::two") == -1
