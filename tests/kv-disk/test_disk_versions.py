"""Conditional writes: against equal writes, other programs and processes, and on older databases."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from embedded_cases import ContentionCases
from key_value.aio.stores.disk import DiskStore
from key_value.aio.testing import FakeClock
from rivals import version_of
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Execute

FILE = "key-value.db"

# As kv-disk created it before entries had revisions.
WITHOUT_REVISIONS = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY, collection TEXT NOT NULL, key TEXT NOT NULL, created_at INTEGER, expires_at INTEGER,
    used_at INTEGER NOT NULL, value BLOB, UNIQUE (collection, key)
);
CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE imports (source TEXT PRIMARY KEY) WITHOUT ROWID;
INSERT INTO entries (collection, key, used_at, value) VALUES ('default_collection', 'key', 1, CAST('{"n":1}' AS BLOB));
PRAGMA application_id = 0x6B762D64;
PRAGMA user_version = 1;
"""
PUT_WITHOUT_REVISION = """
INSERT INTO entries (collection, key, created_at, expires_at, value, used_at)
VALUES ('default_collection', ?, ?, NULL, CAST('{"n":1}' AS BLOB), 1)
ON CONFLICT (collection, key) DO UPDATE SET
    created_at = excluded.created_at, expires_at = excluded.expires_at, value = excluded.value,
    used_at = excluded.used_at
"""


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with DiskStore(directory=tmp_path) as store:
        yield store


@pytest.fixture
def older_directory(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(WITHOUT_REVISIONS)
    return tmp_path


async def test_writing_an_equal_value_at_the_same_moment_changes_the_version(store: DiskStore, tmp_path: Path) -> None:
    seen: set[str] = set()
    with FakeClock():
        async with DiskStore(directory=tmp_path) as other:
            for number in range(50):
                await (store, other)[number % 2].put("key", {"n": 1}, ttl=10)
                seen.add(await version_of(store, "key"))
                if number % 3 == 0:
                    await other.delete("key")
    assert len(seen) == 50


async def test_reading_keeps_the_version_although_uses_are_recorded(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, max_size=1_000_000) as store:
        await store.put("key", {"n": 1})
        version = await version_of(store, "key")
        for _ in range(3):
            assert await store.get("key") == {"n": 1}
            await store.put("other", {})
        assert await store.put_if_version("key", {"n": 2}, version) is True


async def test_a_version_outlives_the_store(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put("key", {"n": 1})
        version = await version_of(store, "key")
    async with DiskStore(directory=tmp_path) as store:
        assert await version_of(store, "key") == version
        assert await store.put_if_version("key", {"n": 2}, version) is True


@pytest.mark.parametrize(
    "change",
    [
        """value = '{"n":2}'""",
        "value = CAST(value AS TEXT) || ' '",
        "expires_at = 4000000000000000",
        "created_at = created_at + 1",
    ],
)
async def test_a_write_of_another_program_is_noticed(
    store: DiskStore, tmp_path: Path, execute: Execute, change: str
) -> None:
    await store.put("key", {"n": 1})
    version = await version_of(store, "key")
    execute(tmp_path, f"UPDATE entries SET {change}")  # noqa: S608 — the texts above
    stored = execute(tmp_path, "SELECT * FROM entries")
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert execute(tmp_path, "SELECT * FROM entries") == stored
    assert await version_of(store, "key") != version


async def test_a_database_without_revisions_is_upgraded_and_keeps_its_entries(
    older_directory: Path, execute: Execute
) -> None:
    async with DiskStore(directory=older_directory) as store:
        assert await store.get("key") == {"n": 1}
        version = await version_of(store, "key")
        assert await store.put_if_version("key", {"n": 1}, version) is True
        assert await version_of(store, "key") != version
        assert await store.put_if_version("key", {"n": 3}, version) is False
    assert execute(older_directory, "PRAGMA user_version") == [(1,)]
    assert execute(older_directory, "PRAGMA integrity_check") == [("ok",)]


async def test_a_process_unaware_of_revisions_keeps_working_and_its_writes_are_noticed(older_directory: Path) -> None:
    with closing(sqlite3.connect(older_directory / FILE, isolation_level=None)) as older:
        older.execute(PUT_WITHOUT_REVISION, ("key", 1))
        async with DiskStore(directory=older_directory) as store:
            await store.put("key", {"n": 1})
            version = await version_of(store, "key")
            older.execute(PUT_WITHOUT_REVISION, ("key", 2))
            assert await store.put_if_version("key", {"n": 3}, version) is False
            older.execute(PUT_WITHOUT_REVISION, ("new", 3))
            assert await store.get_many(["key", "new"]) == [{"n": 1}, {"n": 1}]
            assert await store.put_if_version("new", {"n": 3}, await version_of(store, "new")) is True


class TestDiskStoreUnderContention(ContentionCases[DiskStore]):
    beginning = """
from key_value.aio.stores.disk import DiskStore

def Store(path):
    return DiskStore(directory=path)
"""
    increments = 100
    keys = 200

    @override
    def open(self, path: Path) -> DiskStore:
        return DiskStore(directory=path)
