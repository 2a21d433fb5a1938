"""Directories that py-key-value-aio wrote with diskcache."""

from __future__ import annotations

import json
import pickle
import sqlite3
from contextlib import closing
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.disk import DiskStore, MultiDiskStore

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [
    ("users", "alice"),
    ("users", "höme/é 🌍"),
    ("mcp:oauth", "https://example.com/client?id=1#x"),
    ("a::b", "c"),
    ("big", "blob"),
]
TEN_YEARS = timedelta(days=3650)

Store = DiskStore | MultiDiskStore


def store_of(directory: Path) -> Store:
    if (directory / "cache.db").exists():
        return DiskStore(directory=directory)
    return MultiDiskStore(base_directory=directory)


@pytest.fixture(params=["disk", "multi_disk"])
def directory(request: pytest.FixtureRequest, recorded: Path) -> Path:
    return recorded / request.param


def put_row(directory: Path, key: Any, **columns: Any) -> None:
    row = {"raw": 1, "mode": 1, **columns, "key": key}
    with closing(sqlite3.connect(directory / "cache.db")) as connection, connection:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO Cache ({names}) VALUES ({marks})", list(row.values()))  # noqa: S608


@pytest.fixture
def values(recorded: Path) -> dict[str, Any]:
    """Return the same entries, as they were written to Redis."""
    stored: dict[str, Any] = json.loads((recorded / "redis.json").read_bytes())
    return {name: json.loads(entry["value"])["value"] for name, entry in stored.items()}


@pytest.fixture
def expires_at(recorded: Path) -> datetime:
    """Return when the only entry with a ttl expires. The predecessor wrote all stores within one minute."""
    stored: dict[str, Any] = json.loads((recorded / "redis.json").read_bytes())
    [moment] = [envelope["expires_at"] for e in stored.values() if "expires_at" in (envelope := json.loads(e["value"]))]
    return datetime.fromisoformat(moment)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


class Trap:
    """An object that leaves a trace when it is unpickled."""

    sprung = False

    def __reduce__(self) -> Any:
        return setattr, (Trap, "sprung", True)


async def test_every_entry_is_there(directory: Path, values: dict[str, Any]) -> None:
    async with store_of(directory) as store:
        for collection, key in NAMES:
            assert await store.get(key, collection=collection) == values[f"{collection}::{key}"]
            assert await store.keys(collection) == sorted(key for owner, key in NAMES if owner == collection)
        assert sorted(await store.collections()) == ["a::b", "big", "mcp:oauth", "users"]


async def test_the_ttl_continues(directory: Path, expires_at: datetime) -> None:
    async with store_of(directory) as store:
        value, remaining = await store.ttl("https://example.com/client?id=1#x", collection="mcp:oauth")
        assert value is not None
        assert remaining == pytest.approx((expires_at - datetime.now(timezone.utc)).total_seconds(), abs=60)
        assert await store.ttl("alice", collection="users") == (await store.get("alice", collection="users"), None)


async def test_entries_are_migrated_once(directory: Path) -> None:
    async with store_of(directory) as store:
        assert await store.delete("alice", collection="users") is True
        await store.put("blob", {"new": True}, collection="big")
        await store.destroy_collection("a::b")
    async with store_of(directory) as store:
        assert await store.get("alice", collection="users") is None
        assert await store.get("blob", collection="big") == {"new": True}
        assert sorted(await store.collections()) == ["big", "mcp:oauth", "users"]


async def test_a_destroyed_store_stays_empty(directory: Path) -> None:
    async with store_of(directory) as store:
        await store.destroy()
        assert await store.collections() == []
    async with store_of(directory) as store:
        assert await store.collections() == []
        assert await store.get("alice", collection="users") is None


async def test_the_files_of_the_earlier_version_are_not_changed(directory: Path) -> None:
    files = contents(directory)
    async with store_of(directory) as store:
        await store.put("alice", {"new": True}, collection="users")
        await store.destroy()
    assert contents(directory).items() >= files.items()


@pytest.mark.parametrize("columns", [{"value": pickle.dumps(Trap())}, {"filename": "c2/pickle.val"}])
async def test_a_pickle_is_refused_by_name_and_never_loaded(recorded: Path, columns: dict[str, Any]) -> None:
    directory = recorded / "disk"
    (directory / "c2").mkdir()
    (directory / "c2/pickle.val").write_bytes(pickle.dumps(Trap()))
    put_row(directory, "users::mallory", mode=4, **columns)
    put_row(directory, pickle.dumps(("users", Trap())), raw=0, value="{}")
    async with DiskStore(directory=directory) as store:
        with pytest.raises(DeserializationError, match=r"key-value\.db.* a pickle can run any code"):
            await store.get("mallory", collection="users")
        with pytest.raises(DeserializationError):
            await store.get_many(["alice", "mallory"], collection="users")
        assert sorted(await store.keys("users")) == ["alice", "höme/é 🌍", "mallory"]
        assert await store.get("alice", collection="users") is not None
        await store.put("mallory", {"who": "mallory"}, collection="users")
        assert await store.get("mallory", collection="users") == {"who": "mallory"}
    assert not Trap.sprung


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 7, "value": {}}', '{"n": 1}', ""])
async def test_a_value_without_an_envelope_is_refused_by_name(recorded: Path, text: str) -> None:
    put_row(recorded / "disk", "users::bob", value=text)
    async with DiskStore(directory=recorded / "disk") as store:
        with pytest.raises(DeserializationError):
            await store.get("bob", collection="users")
        assert await store.get("alice", collection="users") is not None


@pytest.mark.parametrize("filename", ["../secret", "c2/link", "c2", "missing.val", None])
async def test_a_file_outside_the_directory_is_not_read(recorded: Path, filename: str | None) -> None:
    directory = recorded / "disk"
    (recorded / "secret").write_text('{"value": {"secret": true}}')
    (directory / "c2").mkdir()
    (directory / "c2/link").symlink_to(recorded / "secret")
    put_row(directory, "users::bob", mode=3, filename=filename)
    async with DiskStore(directory=directory) as store:
        with pytest.raises(DeserializationError):
            await store.get("bob", collection="users")


async def test_expired_entries_are_not_migrated(recorded: Path) -> None:
    directory = recorded / "disk"
    text = '{"collection": "users", "key": "bob", "value": {}}'
    put_row(directory, "users::bob", value=text, expire_time=1.0)
    put_row(directory, "users::eve", value=text.replace("bob", "eve"), expire_time=4e9)
    async with DiskStore(directory=directory) as store:
        assert await store.get("bob", collection="users") is None
        _, remaining = await store.ttl("eve", collection="users")
        assert remaining is not None


async def test_numbers_that_json_cannot_express_are_read(recorded: Path) -> None:
    put_row(recorded / "disk", "users::bob", value='{"value": {"n": Infinity}, "key": "bob", "collection": "users"}')
    async with DiskStore(directory=recorded / "disk") as store:
        assert await store.get("bob", collection="users") == {"n": float("inf")}


async def test_two_collections_in_one_directory_of_the_earlier_version_are_kept_apart(recorded: Path) -> None:
    text = '{"collection": "mcpoauth", "key": "k", "value": {"whose": "mcpoauth"}}'
    put_row(recorded / "multi_disk/mcpoauth", "k", value=text)
    async with MultiDiskStore(base_directory=recorded / "multi_disk") as store:
        assert await store.get("k", collection="mcpoauth") == {"whose": "mcpoauth"}
        assert await store.get("k", collection="mcp:oauth") is None
        assert await store.keys("mcpoauth") == ["k"]
        assert await store.keys("mcp:oauth") == ["https://example.com/client?id=1#x"]
