"""Stored entries, exchange with the predecessor, and foreign data that is kept."""

from __future__ import annotations

import json
import pickle
import shutil
from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.rocksdb import RocksDBStore
from key_value.aio.testing.clock import FakeClock
from rocksdict import Rdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from predecessor import Predecessor

NAMES = exchange.named("https://example.com/a?b=1#c", "höme/é 🌍")
VALUES = {**exchange.VALUES, **exchange.OF_FILES, **NAMES}


class Recorded:
    """An object that leaves a trace when it is unpickled."""

    loaded = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return note, ()


def note() -> None:
    Recorded.loaded += 1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries"


@pytest.fixture
def raw(path: Path) -> Iterator[Rdict]:
    with Rdict(str(path)) as client:
        yield client


@pytest.fixture
def store(raw: Rdict) -> RocksDBStore:
    return RocksDBStore(db=raw)


# Entries


async def test_an_entry_is_stored_as_an_envelope_in_bytes(store: RocksDBStore, raw: Rdict) -> None:
    await store.put("alice", {"n": 1}, collection="users", ttl=90)
    stored = raw["users::alice"]
    assert type(stored) is bytes
    envelope = json.loads(stored)
    assert set(envelope) == {"version", "collection", "key", "created_at", "expires_at", "value"}
    assert (envelope["collection"], envelope["key"], envelope["value"]) == ("users", "alice", {"n": 1})


async def test_an_envelope_in_a_str_is_read(store: RocksDBStore, raw: Rdict) -> None:
    raw["users::alice"] = '{"version": 1, "value": {"n": 1}}'
    assert await store.get("alice", collection="users") == {"n": 1}
    assert await store.keys("users") == ["alice"]


@pytest.mark.parametrize("stored", [5, 1.5, True, {"version": 1, "value": {"n": 1}}], ids=repr)
async def test_a_value_that_is_not_text_is_corrupt(store: RocksDBStore, raw: Rdict, stored: Any) -> None:
    raw["users::alice"] = stored
    await store.put("bob", {"n": 1}, collection="users")
    with pytest.raises(DeserializationError, match="'alice', collection 'users'"):
        await store.get("alice", collection="users")
    assert await store.get("bob", collection="users") == {"n": 1}


async def test_a_stored_object_is_not_unpickled(path: Path) -> None:
    with Rdict(str(path)) as raw:
        raw["users::alice"] = Recorded()
    assert b"note" in pickle.dumps(Recorded())
    async with RocksDBStore(path=path) as store:
        with pytest.raises(DeserializationError):
            await store.get("alice", collection="users")
        assert await store.keys("users") == ["alice"]
        await store.destroy()
        assert Recorded.loaded == 0
        assert await store.delete("alice", collection="users") is True
    assert Recorded.loaded == 0


async def test_expired_entries_are_not_listed_nor_counted(store: RocksDBStore) -> None:
    with FakeClock() as clock:
        await store.put_many(["a", "b"], [{"expires_at": 1}] * 2, collection="one", ttl=10)
        await store.put_many(["c", "d"], [{"expires_at": 1}] * 2, collection="two")
        await store.put("e", {"n": 1}, collection="two", ttl=10)
        clock.advance(20)
        assert await store.keys("one") == []
        assert await store.keys("two") == ["c", "d"]
        assert await store.collections() == ["two"]
        assert await store.delete_many(["a", "b"], collection="one") == 0
        assert await store.delete("e", collection="two") is False


async def test_enumeration_continues_after_pages_of_expired_entries(store: RocksDBStore) -> None:
    keys = [f"k{number:05}" for number in range(1200)]
    with FakeClock() as clock:
        await store.put_many(keys, [{"n": 1}] * 1200, collection="a", ttl=10)
        await store.put("z", {"n": 1}, collection="a")
        await store.put_many(keys, [{"n": 1}] * 1200, collection="b", ttl=10)
        await store.put("z", {"n": 1}, collection="c")
        clock.advance(20)
        assert await store.keys("a") == ["z"]
        assert await store.collections() == ["a", "c"]
        assert await store.collections(limit=1) == ["a"]


async def test_culling_removes_expired_entries_and_no_others(store: RocksDBStore, raw: Rdict) -> None:
    with FakeClock() as clock:
        keys = [f"k{number}" for number in range(1200)]
        await store.put_many(keys, [{"n": 1}] * 1200, ttl=10)
        await store.put_many(["k5", "k700", "z"], [{"n": 2}] * 3)
        raw["default_collection::k6"] = b'{"version": 1, "expires_at": "2001-01-01T00:00:00+00:00", "value": {}}'
        clock.advance(20)
        await store.cull()
    left = ["k5", "k6", "k700", "z"]
    assert list(raw.keys()) == [f"default_collection::{key}" for key in left]


# Foreign data


async def test_destroying_keeps_foreign_data_between_the_entries(store: RocksDBStore, raw: Rdict) -> None:
    await store.put_many([f"k{number:04}" for number in range(1200)], [{"n": 1}] * 1200, collection="users")
    await store.put("a", {"n": 1}, collection="other")
    foreign: dict[Any, Any] = {
        "users::k0000": b"not an entry",
        "users::k0500": {"an": "object"},
        "users::k0500x": 5,
        "users::k1199": '{"version": 1, "value": {}, "collection": "users", "key": "another"}',
        "users": b"no name of a store",
        b"users::k0001": b"under a name of bytes",
        7: b"under a number",
    }
    for name, value in foreign.items():
        raw[name] = value
    assert await store.destroy_collection("users") is True
    assert await store.get("a", collection="other") == {"n": 1}
    assert await store.destroy() is True
    assert dict(raw.items()) == foreign
    assert await store.destroy_collection("users") is False


async def test_the_store_and_the_owner_read_each_others_writes(store: RocksDBStore, raw: Rdict) -> None:
    await store.put("alice", {"n": 1}, collection="users")
    stored: Any = raw["users::alice"]
    raw["users::bob"] = stored.replace(b'"alice"', b'"bob"')
    assert await store.get("bob", collection="users") == {"n": 1}
    del raw["users::alice"]
    assert await store.get("alice", collection="users") is None


# The predecessor


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], path: Path) -> Callable[..., list[Any]]:
    """Return a function that calls the predecessor's RocksDBStore on the same directory, in another process."""
    return partial(predecessor_of("rocksdb").call, f"RocksDBStore(path={str(path)!r})")


async def test_the_predecessor_reads_what_we_write(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_predecessor_reads(RocksDBStore(path=path), predecessor, VALUES)


async def test_we_read_what_the_predecessor_writes(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_ours_reads(RocksDBStore(path=path), predecessor, VALUES)


async def test_recorded_entries_are_read_in_full(path: Path, recorded: Path) -> None:
    shutil.copytree(recorded / "rocksdb", path)
    async with RocksDBStore(path=path) as store:
        assert await store.keys("users") == ["alice", "höme/é 🌍"]
        alice = await store.get("alice", collection="users")
        assert alice == {"name": "Alice", "roles": ["a", "b"], "n": 1.5, "none": None, "ok": True}
        assert await store.get("höme/é 🌍", collection="users") is not None
        value, remaining = await store.ttl("https://example.com/client?id=1#x", collection="mcp:oauth")
        assert value == {"token": "t"}
        assert remaining is not None
        assert 0 < remaining < 3653 * 86_400
        assert await store.get("blob", collection="big") == {"text": "x" * 40_000}
        assert await store.get("b::c", collection="a") is None
        await store.destroy()
        assert await store.collections() == []
