"""Enumerating and destroying, in a database that other applications share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

Client: Any = Redis  # which leaves its options untyped

MANY = 25_000

FOREIGN_STRINGS: dict[bytes, bytes] = {
    b"foreign": b"text",
    b"foreign::text": b"text",
    b"foreign::object": b'{"n": 1}',
    b"foreign::nameless": b'{"version": 1, "value": {"n": 1}}',
    b"foreign::renamed": b'{"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}',
    b"foreign::later": b'{"version": 2, "collection": "foreign", "key": "later", "value": {"n": 1}}',
    b"foreign::empty": b"",
    b"foreign\xff::binary": b"\xff\xfe",
    b"::": b'{"version": 1, "collection": "", "key": "", "value": {}}',
    b"users::": b'{"version": 1, "collection": "users", "key": "", "value": {}}',
}

GLOBS = ["*", "user?", "user[s]", "user[^a]", "use*", "users\\", "\\*", "[u]sers", "u{s}ers", "-", "^"]


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[RedisStore]:
    assert raw.dbsize() == 0
    async with RedisStore(url=url) as store:
        yield store


def put_foreign(raw: Any) -> None:
    raw.mset(FOREIGN_STRINGS)
    raw.hset("foreign::hash", "field", "text")
    raw.xadd("foreign::stream", {"field": "text"})
    raw.sadd("foreign::set", "text")


def contents(raw: Any) -> dict[bytes, bytes]:
    return {name: raw.dump(name) for name in raw.scan_iter()}


def written(collection: str, key: str) -> str:
    """An entry as any version writes it."""
    return json.dumps({"version": 1, "collection": collection, "key": key, "value": {"n": 1}})


async def test_destroy_leaves_what_others_wrote(store: RedisStore, raw: Any) -> None:
    put_foreign(raw)
    before = contents(raw)
    await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="users")
    assert await store.destroy() is True
    assert contents(raw) == before


async def test_destroy_leaves_other_databases(store: RedisStore, url: str) -> None:
    async with RedisStore(url=f"{url}?db=3") as other:
        await other.put("key", {"n": 1})
        await store.destroy()
        assert await other.delete("key") is True


async def test_destroy_removes_what_earlier_versions_wrote(store: RedisStore, raw: Any) -> None:
    raw.set("users::alice", written("users", "alice"))
    raw.set("a::b::c", written("a::b", "c"))
    raw.set("a:::b", written("a:", "b"))
    await store.destroy()
    assert raw.dbsize() == 0


async def test_destroying_a_collection_leaves_another_whose_name_begins_like_it(store: RedisStore, raw: Any) -> None:
    # As an earlier version stores ("a::b", "c"); in the collection "a" the name would be that of "b::c".
    raw.set("a::b::c", written("a::b", "c"))
    await store.put("key", {"n": 1}, collection="a")
    assert await store.destroy_collection("a") is True
    assert list(raw.scan_iter()) == [b"a::b::c"]


async def test_destroy_removes_every_collection(store: RedisStore, raw: Any) -> None:
    for collection in ("users", "a::b", "a:", "höme 🌍", "*"):
        await store.put("key", {"n": 1}, collection=collection)
    await store.destroy()
    assert raw.dbsize() == 0


async def test_destroying_a_collection_leaves_what_others_wrote(store: RedisStore, raw: Any) -> None:
    put_foreign(raw)
    before = contents(raw)
    await store.put("key", {"n": 1}, collection="foreign")
    assert await store.destroy_collection("foreign") is True
    assert await store.destroy_collection("foreign") is False
    assert contents(raw) == before


@pytest.mark.parametrize("collection", GLOBS)
async def test_a_collection_is_no_pattern(store: RedisStore, raw: Any, collection: str) -> None:
    for name in ("users", "usera", collection):
        await store.put("key", {"n": 1}, collection=name)
    assert await store.keys(collection) == ["key"]
    assert await store.destroy_collection(collection) is True
    assert set(raw.keys()) == {b"users::key", b"usera::key"}


async def test_destroying_runs_no_command_that_stops_the_server(
    store: RedisStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put("key", {"n": 1}, collection="users")
    await store.keys("users")
    await store.destroy_collection("users")
    await store.destroy()
    assert set(commands_run()) == {"set", "scan", "mget", "unlink"}


async def test_keys_lists_the_collection_and_nothing_else(store: RedisStore, raw: Any) -> None:
    put_foreign(raw)
    raw.hset("users::hash", "field", "text")
    await store.put_many(["a", "höme/é 🌍", "a::b", "*"], [{"n": 1}] * 4, collection="users")
    await store.put("c", {"n": 1}, collection="users::a")
    assert sorted(await store.keys("users")) == sorted(["a", "höme/é 🌍", "a::b", "*"])


async def test_keys_is_complete_and_destroy_too(store: RedisStore, raw: Any) -> None:
    keys = [f"key {number}" for number in range(MANY)]
    raw.mset({f"users::{key}": written("users", key) for key in keys})
    raw.mset({f"foreign {number}": "text" for number in range(1000)})
    assert sorted(await store.keys("users")) == sorted(keys)
    assert len(set(await store.keys("users", limit=MANY - 1))) == MANY - 1
    assert await store.destroy_collection("users") is True
    assert raw.dbsize() == 1000


def repeat_names(client: Any) -> None:
    """Let SCAN find every name twice, as it may while the table of the server shrinks."""
    execute_command = client.execute_command

    async def execute(*args: Any, **options: Any) -> Any:
        answer = await execute_command(*args, **options)
        return (answer[0], [*answer[1], *answer[1]]) if args[0] == "SCAN" else answer

    client.execute_command = execute


async def test_a_name_that_scan_repeats_is_listed_once(store: RedisStore, url: str) -> None:
    keys = [f"key {number}" for number in range(1000)]
    await store.put_many(keys, [{"n": 1}] * 1000, collection="users")
    async with Client.from_url(url) as client:
        repeat_names(client)
        repeating = RedisStore(client=client)
        assert sorted(await repeating.keys("users")) == sorted(keys)
        assert len(set(await repeating.keys("users", limit=999))) == 999
        assert await repeating.destroy_collection("users") is True


@pytest.mark.parametrize("limit", [0, 1, 499, 500, 501, 1999, 2000, 2001])
async def test_a_limit_is_honoured_exactly(store: RedisStore, limit: int) -> None:
    await store.put_many([f"key {number}" for number in range(2000)], [{"n": 1}] * 2000, collection="users")
    found = await store.keys("users", limit=limit)
    assert len(set(found)) == len(found) == min(limit, 2000)
