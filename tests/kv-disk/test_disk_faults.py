"""Full disks, corrupt pages, several stores on one directory."""

from __future__ import annotations

import asyncio
import sqlite3
import struct
import sys
from typing import TYPE_CHECKING, Any

import pytest
from embedded import file_size_limit
from key_value.aio.errors import DeserializationError, StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.stores.disk.database import SQLiteDatabase

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from conftest import Execute

FILE = "key-value.db"
KEYS = [f"key {number}" for number in range(50)]
VALUES: list[dict[str, Any]] = [{"number": number, "text": "x" * 2000} for number in range(50)]


async def outcome_of(call: Awaitable[Any]) -> Any:
    return (await asyncio.gather(call, return_exceptions=True))[0]


async def fill(store: DiskStore) -> int:
    """Put entries until one is refused, and return how many were accepted."""
    for number in range(1000):
        outcome = await outcome_of(store.put(f"more {number}", {"number": number, "text": "y" * 20_000}))
        if outcome is not None:
            assert type(outcome) is StoreConnectionError
            assert FILE in str(outcome)
            assert "yyy" not in str(outcome)
            return number
    message = "nothing was refused"
    raise AssertionError(message)


async def check_a_full_disk(store: DiskStore) -> int:
    count = await fill(store)
    # All acknowledged entries are there, and reads still work.
    assert await store.get_many(KEYS) == VALUES
    kept = [f"more {number}" for number in range(count)]
    assert [(value or {}).get("number") for value in await store.get_many(kept)] == list(range(count))
    with pytest.raises(StoreConnectionError):
        await store.put_many([f"many {n}" for n in range(100)], [{"text": "z" * 20_000}] * 100)
    outcomes = await asyncio.gather(
        *(store.put(f"one {n}", {"text": "z" * 20_000}) for n in range(20)), return_exceptions=True
    )
    stored = await store.get_many([f"one {n}" for n in range(20)])
    assert [value is not None for value in stored] == [outcome is None for outcome in outcomes]
    assert await store.get_many([f"many {n}" for n in range(100)]) == [None] * 100
    return count


async def test_a_full_disk_is_an_error_and_loses_nothing(small_disk: Path) -> None:
    (small_disk / "theirs").write_bytes(bytes(300_000))
    async with DiskStore(directory=small_disk) as store:
        await store.put_many(KEYS, VALUES)
        assert await check_a_full_disk(store) > 10
    async with DiskStore(directory=small_disk) as store:
        assert await store.get_many(KEYS) == VALUES
        (small_disk / "theirs").unlink()
        await store.put("key", {"n": 1})
        assert await store.get_many(["key", *KEYS]) == [{"n": 1}, *VALUES]


async def test_a_file_that_may_not_grow_is_an_error_and_loses_nothing(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put_many(KEYS, VALUES)
        with file_size_limit(1_000_000):
            assert await check_a_full_disk(store) > 10
        await store.put("key", {"n": 1})
        assert await store.get_many(["key", *KEYS]) == [{"n": 1}, *VALUES]


async def test_setup_checks_that_the_database_accepts_a_write(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put("key", {"n": 1})
        with file_size_limit(1):
            with pytest.raises(StoreConnectionError, match=f"{tmp_path}/{FILE}: "):
                await store.setup()
            assert await store.get("key") == {"n": 1}
        await store.setup()


async def test_a_corrupt_page_is_an_error_and_other_entries_are_still_read(tmp_path: Path, execute: Execute) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put_many(KEYS, VALUES)
    # The entries of the table fill its leaves in the order they were put.
    assert execute(tmp_path, "PRAGMA page_size") == [(4096,)]
    pages = (tmp_path / FILE).read_bytes()
    at = pages.index(b'{"number":20,')
    page = at // 4096 * 4096
    (tmp_path / FILE).write_bytes(pages[:page] + b"\xff" * 4096 + pages[page + 4096 :])
    async with DiskStore(directory=tmp_path) as store:
        found = {key: await outcome_of(store.get(key)) for key in KEYS}
    corrupt = [key for key, value in zip(KEYS, VALUES, strict=True) if found[key] != value]
    assert 1 <= len(corrupt) <= 2
    assert "key 20" in corrupt
    for key in corrupt:
        assert isinstance(found[key], DeserializationError)
        assert str(tmp_path / FILE) in str(found[key])


async def test_a_value_that_is_not_json_is_named_and_other_entries_are_still_read(
    tmp_path: Path, execute: Execute
) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put_many(KEYS, VALUES)
        execute(tmp_path, "UPDATE entries SET value = substr(value, 1, 100) WHERE key = 'key 7'")
        with pytest.raises(DeserializationError, match=rf"row \d+ of {tmp_path}/{FILE} is not JSON"):
            await store.get("key 7")
        assert await store.get("key 8") == VALUES[8]


async def test_two_stores_see_each_others_writes(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as one, DiskStore(directory=tmp_path) as other:
        for number in range(100):
            await one.put("key", {"number": number})
            assert await other.get("key") == {"number": number}
            assert await other.delete("key") is True
            assert await one.get("key") is None
        await asyncio.gather(*(store.put(f"{n}", {"n": n}) for n in range(200) for store in (one, other)))
        assert sorted(await one.keys()) == sorted(await other.keys()) == sorted(str(n) for n in range(200))


async def test_stores_that_open_a_new_directory_together_share_it(tmp_path: Path) -> None:
    stores = [DiskStore(directory=tmp_path / "new") for _ in range(10)]
    await asyncio.gather(*(store.put(f"{number}", {}) for number, store in enumerate(stores)))
    assert [len(await store.keys()) for store in stores] == [10] * 10
    await asyncio.gather(*(store.close() for store in stores))


async def test_concurrent_puts_share_transactions(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.put("first", {})
        before = transactions(tmp_path)
        await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
        assert 1 <= transactions(tmp_path) - before <= 10


async def test_a_failing_put_does_not_affect_puts_in_the_same_transaction(tmp_path: Path, execute: Execute) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await store.setup()
        refuse = (
            "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN new.key = 'key 7' BEGIN SELECT RAISE(FAIL, 'no'); END"
        )
        execute(tmp_path, refuse)
        puts = (store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True))
        outcomes = await asyncio.gather(*puts, return_exceptions=True)
        assert [number for number, outcome in enumerate(outcomes) if outcome is not None] == [7]
        assert await store.get_many(KEYS) == [*VALUES[:7], None, *VALUES[8:]]
        with pytest.raises(StoreConnectionError):
            await store.put_many(["a", "key 7", "b"], VALUES[:3])
        assert await store.get_many(["a", "b"]) == [None, None]


async def test_a_multi_disk_store_leaves_directories_that_are_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/cache.txt").write_text("text")
    async with MultiDiskStore(base_directory=tmp_path) as store:
        await store.put("key", {}, collection="ours")
        assert await store.collections() == ["ours"]
        await store.destroy()
    assert (tmp_path / "theirs/cache.txt").exists()


def transactions(directory: Path) -> int:
    """Count the commit frames of the log: https://sqlite.org/fileformat.html#the_write_ahead_log"""
    log = (directory / f"{FILE}-wal").read_bytes()
    salt = log[16:24]
    frames = [log[at : at + 24] for at in range(32, len(log), 24 + 4096)]
    return sum(struct.unpack(">I", frame[4:8])[0] > 0 for frame in frames if frame[8:16] == salt)


async def test_committed_writes_are_acknowledged_when_a_batch_is_retried_one_by_one(
    tmp_path: Path, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = SQLiteDatabase.begin
    begun: list[int] = []

    def begin_and_be_locked_once(database: SQLiteDatabase) -> None:
        begun.append(len(begun))
        # The first transaction is for all writes, each later one for a single write.
        if len(begun) == 4:
            message = "database is locked"
            raise sqlite3.OperationalError(message)
        begin(database)

    async with DiskStore(directory=tmp_path) as store:
        await store.setup()
        refuse = "CREATE TRIGGER refuse BEFORE INSERT ON entries WHEN new.key = '5' BEGIN SELECT RAISE(FAIL, 'no'); END"
        execute(tmp_path, refuse)
        monkeypatch.setattr(SQLiteDatabase, "begin", begin_and_be_locked_once)
        outcomes = await asyncio.gather(*(store.put(f"{n}", {"n": n}) for n in range(8)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if outcome is not None] == [
            StoreTimeoutError,
            StoreConnectionError,
        ]
        stored = await store.get_many([f"{n}" for n in range(8)])
        assert [outcome is None for outcome in outcomes] == [value is not None for value in stored]


async def test_a_write_is_acknowledged_although_its_free_pages_could_not_be_released(
    tmp_path: Path, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect: Any = sqlite3.connect
    refused: list[str] = []

    class Connection(sqlite3.Connection):
        def executescript(self, script: str, /) -> sqlite3.Cursor:
            if not refused:
                refused.append(script)
                message = "database is locked"
                raise sqlite3.OperationalError(message)
            return super().executescript(script)

    def connect_with_refusal(*args: Any, **options: Any) -> sqlite3.Connection:
        return connect(*args, factory=Connection, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_with_refusal)
    async with DiskStore(directory=tmp_path) as store:
        await store.put_many(KEYS, VALUES)
        assert await store.destroy() is True
        assert refused
        assert execute(tmp_path, "SELECT count(*) FROM entries") == [(0,)]
        await store.put("key", {})
        # The next write releases them.
        assert execute(tmp_path, "PRAGMA freelist_count") == [(0,)]


async def test_opening_a_second_store_keeps_the_log_of_the_first(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path) as first, DiskStore(directory=tmp_path) as second:
        await first.put("key", {"n": 1})
        assert await first.get("key") == {"n": 1}
        await second.put("key", {"n": 2})
        # SQLite removes the log when it considers itself the last user of the database.
        visit = (
            "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM sqlite_master'); c.close()"
        )
        visitor = await asyncio.create_subprocess_exec(sys.executable, "-c", visit, str(tmp_path / FILE))
        assert await visitor.wait() == 0
        assert (tmp_path / f"{FILE}-wal").exists()
        await first.put("key", {"n": 3})
        async with DiskStore(directory=tmp_path) as third:
            assert await third.get("key") == {"n": 3}
