"""Conditional writes: against equal writes, other programs, other processes, and databases of before."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.disk import DiskStore
from key_value.aio.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Execute

FILE = "key-value.db"
PROCESS = Path(__file__).with_name("process.py")
PROCESSES = 4

# As kv-disk made it before entries had revisions.
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
def directory_of_before(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        connection.executescript(WITHOUT_REVISIONS)
    return tmp_path


async def version_of(store: DiskStore, key: str = "key") -> str:
    version = (await store.get_versioned(key)).version
    assert version is not None
    return version


async def test_the_version_changes_with_a_write_of_an_equal_value_at_the_same_moment(
    store: DiskStore, tmp_path: Path
) -> None:
    seen: set[str] = set()
    with FakeClock():
        async with DiskStore(directory=tmp_path) as other:
            for number in range(50):
                await (store, other)[number % 2].put("key", {"n": 1}, ttl=10)
                seen.add(await version_of(store))
                if number % 3 == 0:
                    await other.delete("key")
    assert len(seen) == 50


async def test_reading_leaves_the_version_however_its_uses_are_noted(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, max_size=1_000_000) as store:
        await store.put("key", {"n": 1})
        version = await version_of(store)
        for _ in range(3):
            assert await store.get("key") == {"n": 1}
            await store.put("other", {})
        assert await store.put_if_version("key", {"n": 2}, version) is True


async def test_a_version_outlives_the_store(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put("key", {"n": 1})
        version = await version_of(store)
    async with DiskStore(directory=tmp_path) as store:
        assert await version_of(store) == version
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
    version = await version_of(store)
    execute(tmp_path, f"UPDATE entries SET {change}")  # noqa: S608 — the texts above
    stored = execute(tmp_path, "SELECT * FROM entries")
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert execute(tmp_path, "SELECT * FROM entries") == stored
    assert await version_of(store) != version


async def test_a_database_without_revisions_is_completed_and_keeps_its_entries(
    directory_of_before: Path, execute: Execute
) -> None:
    async with DiskStore(directory=directory_of_before) as store:
        assert await store.get("key") == {"n": 1}
        version = await version_of(store)
        assert await store.put_if_version("key", {"n": 1}, version) is True
        assert await version_of(store) != version
        assert await store.put_if_version("key", {"n": 3}, version) is False
    assert execute(directory_of_before, "PRAGMA user_version") == [(1,)]
    assert execute(directory_of_before, "PRAGMA integrity_check") == [("ok",)]


async def test_a_process_that_knows_no_revisions_goes_on_and_its_writes_are_noticed(directory_of_before: Path) -> None:
    with closing(sqlite3.connect(directory_of_before / FILE, isolation_level=None)) as older:
        older.execute(PUT_WITHOUT_REVISION, ("key", 1))
        async with DiskStore(directory=directory_of_before) as store:
            await store.put("key", {"n": 1})
            version = await version_of(store)
            older.execute(PUT_WITHOUT_REVISION, ("key", 2))
            assert await store.put_if_version("key", {"n": 3}, version) is False
            older.execute(PUT_WITHOUT_REVISION, ("new", 3))
            assert await store.get_many(["key", "new"]) == [{"n": 1}, {"n": 1}]
            assert await store.put_if_version("new", {"n": 3}, await version_of(store, "new")) is True


async def run(directory: Path, command: str, number: int) -> list[int]:
    """What each of the processes printed, all begun at once."""
    arguments = [sys.executable, str(PROCESS), str(directory), command, str(number)]
    processes = [
        await asyncio.create_subprocess_exec(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"open\n"
        outputs = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return [int(output) for output, _ in outputs if output]


async def test_increments_of_four_processes_are_exact(store: DiskStore, tmp_path: Path) -> None:
    await run(tmp_path, "count", 100)
    assert await store.get("counter") == {"count": PROCESSES * 100}


async def test_of_processes_that_put_if_absent_one_wins_each_key(tmp_path: Path) -> None:
    assert sum(await run(tmp_path, "claim", 200)) == 200


async def test_of_processes_that_delete_one_wins_each_key(store: DiskStore, tmp_path: Path) -> None:
    values: list[dict[str, Any]] = [{}] * 200
    await store.put_many([str(number) for number in range(200)], values)
    assert sum(await run(tmp_path, "delete", 200)) == 200


async def test_of_fifty_that_delete_at_once_one_wins(tmp_path: Path) -> None:
    stores = [DiskStore(directory=tmp_path) for _ in range(5)]
    await stores[0].put_many(["a", "b"], [{}, {}])
    version = await version_of(stores[0], "a")
    assert sum(await asyncio.gather(*(stores[n % 5].delete_if_version("a", version) for n in range(50)))) == 1
    assert sum(await asyncio.gather(*(stores[n % 5].delete("b") for n in range(50)))) == 1
    await asyncio.gather(*(store.close() for store in stores))
