"""Pages of keys: their cost, and concurrent changes."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.iteration import iterate_entries, iterate_keys
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.disk import DiskStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

FILE = "key-value.db"
LAST = chr(sys.maxunicode)
BEFORE_SURROGATES, AFTER_SURROGATES = "\ud7ff", "\ue000"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[DiskStore]:
    async with DiskStore(directory=tmp_path) as store:
        yield store


async def put(store: DiskStore, *keys: str, ttl: float | None = None) -> None:
    values: list[dict[str, Any]] = [{}] * len(keys)
    await store.put_many(keys, values, ttl=ttl)


async def pages_of(store: DiskStore, **options: Any) -> list[list[str]]:
    pages: list[list[str]] = []
    page = KeyPage([], None)
    while True:
        page = await store.scan(cursor=page.cursor, **options)
        pages.append(page.keys)
        if page.cursor is None:
            return pages


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the SQL statements run, with their parameters filled in."""
    asked: list[str] = []
    connect: Any = sqlite3.connect

    def connect_and_trace(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(asked.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_and_trace)
    return asked


@pytest.mark.parametrize("prefix", ["", "user:", LAST])
@pytest.mark.parametrize("number", [1, 2])
async def test_a_page_is_a_range_of_the_index(tmp_path: Path, statements: list[str], prefix: str, number: int) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await put(store, *(f"{prefix}{each:03}" for each in range(300)))
        page = await store.scan(prefix=prefix, limit=10)
        if number == 2:
            statements.clear()
            await store.scan(prefix=prefix, limit=10, cursor=page.cursor)
    (statement,) = (text for text in statements if "SELECT key" in text)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert plan == ["SEARCH entries USING INDEX sqlite_autoindex_entries_1 (collection=? AND key>? AND key<?)"]


async def test_a_page_of_a_prefix_reads_only_its_own_keys(tmp_path: Path, statements: list[str]) -> None:
    async with DiskStore(directory=tmp_path) as store:
        await put(store, *(f"{number % 100:02}:{number}" for number in range(20_000)))
        assert len((await store.scan(prefix="57:")).keys) == 200
    (statement,) = (text for text in statements if "SELECT key" in text)
    with closing(sqlite3.connect(tmp_path / FILE)) as connection:
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 10
            return 0

        connection.set_progress_handler(count, 10)
        assert len(connection.execute(statement).fetchall()) == 200
        # Steps of SQLite's virtual machine, about ten per row. The table has 20 000 rows.
        assert steps < 200 * 20


@pytest.mark.parametrize("prefix", ["a", "a%", "_", LAST, f"a{LAST}", BEFORE_SURROGATES, "é", "\0"])
@pytest.mark.parametrize("limit", [1, 3, 1000])
async def test_a_prefix_is_matched_literally(store: DiskStore, prefix: str, limit: int) -> None:
    begun = [prefix, f"{prefix}\0", f"{prefix}x", f"{prefix}{LAST}", f"{prefix}{LAST}{LAST}"]
    others = ["A", "b", "ab", "a", "%", "__x", "y", "e\u0301", f"x{prefix}", AFTER_SURROGATES, LAST, "\1"]
    keys = [*begun, *others]
    await put(store, *keys)
    pages = await pages_of(store, prefix=prefix, limit=limit)
    assert [key for page in pages for key in page] == sorted({key for key in keys if key.startswith(prefix)})
    assert max(map(len, pages)) <= limit


async def test_expired_keys_take_no_place_in_a_page(store: DiskStore) -> None:
    await put(store, *(f"a{number}" for number in range(50)), ttl=0.001)
    await put(store, *(f"b{number}" for number in range(5)))
    await asyncio.sleep(0.01)
    assert [len(page) for page in await pages_of(store, limit=5)] == [5, 0]


async def test_another_store_continues_with_a_cursor(tmp_path: Path, store: DiskStore) -> None:
    await put(store, "a", "b", "c")
    page = await store.scan(limit=2)
    async with DiskStore(directory=tmp_path) as other:
        assert await other.scan(limit=2, cursor=page.cursor) == KeyPage(["c"], None)


async def test_a_scan_returns_all_lasting_keys_while_others_are_put_and_deleted(
    tmp_path: Path, store: DiskStore
) -> None:
    stay = [f"{number:04}-stays" for number in range(0, 1000, 2)]
    come_and_go = [f"{number:04}-goes" for number in range(0, 1000, 3)]
    await put(store, *stay, *come_and_go)
    rounds = 0

    async def change() -> None:
        nonlocal rounds
        async with DiskStore(directory=tmp_path) as other:
            while True:
                await other.delete_many(come_and_go)
                await put(other, *come_and_go, *(f"{number:04}-new" for number in range(rounds, 1000, 7)))
                rounds += 1

    changing = asyncio.ensure_future(change())
    while rounds < 5:
        keys = [key async for key in iterate_keys(store, page_size=20)]
        assert [key for key in keys if key.endswith("-stays")] == stay
        assert len(keys) == len(set(keys))
    changing.cancel()
    await asyncio.gather(changing, return_exceptions=True)


async def test_entries_are_iterated_page_by_page(store: DiskStore) -> None:
    await store.put_many([f"{number:03}" for number in range(250)], [{"n": number} for number in range(250)], ttl=60)
    entries = [entry async for entry in iterate_entries(store, page_size=100)]
    assert [(entry.key, entry.value) for entry in entries] == [(f"{n:03}", {"n": n}) for n in range(250)]
    assert all(entry.ttl is not None and 0 < entry.ttl <= 60 for entry in entries)
