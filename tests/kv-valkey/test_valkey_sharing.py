"""Enumerating and destroying, in a database that other applications share."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.valkey import ValkeyStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

MANY = 25_000

FOREIGN_STRINGS: dict[bytes, bytes] = {
    b"foreign": b"text",
    b"foreign::text": b"text",
    b"foreign::object": b'{"n": 1}',
    b"foreign::nameless": b'{"version": 1, "value": {"n": 1}}',
    b"foreign::renamed": b'{"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}',
    b"foreign::later": b'{"version": 2, "collection": "foreign", "key": "later", "value": {"n": 1}}',
    b"foreign\xff::binary": b"\xff\xfe",
    b"::": b'{"version": 1, "collection": "", "key": "", "value": {}}',
}


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[ValkeyStore]:
    assert raw.dbsize() == 0
    async with ValkeyStore.from_url(url) as store:
        yield store


def put_foreign(raw: Any) -> None:
    raw.mset(FOREIGN_STRINGS)
    raw.hset("foreign::hash", "field", "text")
    raw.xadd("foreign::stream", {"field": "text"})


def contents(raw: Any) -> dict[bytes, bytes]:
    return {name: raw.dump(name) for name in raw.scan_iter()}


def written(collection: str, key: str) -> str:
    """An entry as any version writes it."""
    return json.dumps({"version": 1, "collection": collection, "key": key, "value": {"n": 1}})


async def test_destroy_leaves_what_others_wrote(store: ValkeyStore, raw: Any) -> None:
    put_foreign(raw)
    before = contents(raw)
    for collection in ("users", "a::b", "a:", "höme 🌍", "*"):
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection=collection)
    assert await store.destroy() is True
    assert contents(raw) == before


async def test_destroy_leaves_other_databases(store: ValkeyStore, url: str) -> None:
    async with ValkeyStore.from_url(f"{url.rpartition('/')[0]}/3") as other:
        await other.put("key", {"n": 1})
        await store.destroy()
        assert await other.delete("key") is True


async def test_destroy_removes_what_earlier_versions_wrote(store: ValkeyStore, raw: Any) -> None:
    raw.set("users::alice", written("users", "alice"))
    raw.set("a::b::c", written("a::b", "c"))
    raw.set("a:::b", written("a:", "b"))
    await store.destroy()
    assert raw.dbsize() == 0


async def test_destroying_a_collection_leaves_what_others_wrote(store: ValkeyStore, raw: Any) -> None:
    put_foreign(raw)
    before = contents(raw)
    await store.put("key", {"n": 1}, collection="foreign")
    assert await store.destroy_collection("foreign") is True
    assert await store.destroy_collection("foreign") is False
    assert contents(raw) == before


@pytest.mark.parametrize("collection", ["*", "user?", "user[s]", "user[^a]", "users\\", "\\*", "[u]sers", "-", "^"])
async def test_a_collection_is_no_pattern(store: ValkeyStore, raw: Any, collection: str) -> None:
    for name in ("users", "usera", collection):
        await store.put("key", {"n": 1}, collection=name)
    assert await store.keys(collection) == ["key"]
    assert await store.destroy_collection(collection) is True
    assert set(raw.keys()) == {b"users::key", b"usera::key"}


async def test_destroying_runs_no_command_that_stops_the_server(
    store: ValkeyStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put("key", {"n": 1}, collection="users")
    await store.keys("users")
    await store.destroy_collection("users")
    await store.destroy()
    assert set(commands_run()) == {"set", "scan", "mget", "unlink"}


async def test_keys_is_complete_and_destroy_too(store: ValkeyStore, raw: Any) -> None:
    keys = [f"key {number}" for number in range(MANY)]
    raw.mset({f"users::{key}": written("users", key) for key in keys})
    raw.mset({f"foreign {number}": "text" for number in range(1000)})
    assert sorted(await store.keys("users")) == sorted(keys)
    assert len(set(await store.keys("users", limit=MANY - 1))) == MANY - 1
    assert await store.destroy_collection("users") is True
    assert raw.dbsize() == 1000


async def test_a_scan_looks_at_no_more_names_than_there_are_and_goes_on_in_another_store(
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


# Versions, against writers that know nothing of them


async def test_a_foreign_write_in_between_is_noticed(store: ValkeyStore, raw: Any) -> None:
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version
    assert version is not None
    raw.set("default_collection::key", written("default_collection", "key"))
    assert await store.put_if_version("key", {"n": 2}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert await store.get("key") == {"n": 1}


async def test_a_script_that_the_server_has_forgotten_is_sent_again(store: ValkeyStore, raw: Any) -> None:
    assert await store.put_if_absent("one", {"n": 1}) is True
    raw.script_flush()
    assert await store.put_if_absent("two", {"n": 1}) is True
    assert await store.put_if_absent("two", {"n": 2}) is False


async def test_expiry_is_to_the_millisecond(store: ValkeyStore, raw: Any) -> None:
    start = time.time()
    await store.put("one", {"n": 1}, ttl=61.9)
    await store.put_many(["two", "three"], [{"n": 1}] * 2, ttl=61.9)
    expiries = [raw.pexpiretime(f"default_collection::{key}") / 1000 for key in ("one", "two", "three")]
    # A server takes the time once for all that it has received.
    assert start + 61.9 - 0.2 < min(expiries) <= max(expiries) < time.time() + 61.9
    await store.put_many(["one", "two"], [{"n": 1}] * 2)
    assert raw.pttl("default_collection::one") == raw.pttl("default_collection::two") == -1
