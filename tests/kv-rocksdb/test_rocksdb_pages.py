"""What a page of keys reads, and returns during concurrent writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from embedded import check_pages_under_writes
from key_value.aio.core.marks import marked
from key_value.aio.stores.rocksdb import RocksDBStore
from rivals import all_keys
from rocksdict import Options, Rdict

if TYPE_CHECKING:
    from pathlib import Path


def steps(options: Options) -> int:
    """Return how many names RocksDB has iterated over, by its own statistics."""
    (line,) = (line for line in (options.get_statistics() or "").splitlines() if "number.db.next COUNT" in line)
    return int(line.rpartition(" ")[2])


async def test_a_scan_by_prefix_reads_only_names_with_that_prefix(tmp_path: Path) -> None:
    options = Options()
    options.enable_statistics()
    with Rdict(str(tmp_path), options=options) as client:
        store = RocksDBStore(db=client)
        await store.put_many([f"k{number:04}" for number in range(5000)], [{"n": 1}] * 5000)
        before = steps(options)
        keys = await all_keys(store, limit=20, prefix="k01")
        assert keys == [f"k{number:04}" for number in range(100, 200)]
        assert 100 <= steps(options) - before <= 120


async def test_pages_have_every_lasting_key_while_others_are_put_and_deleted(tmp_path: Path) -> None:
    with Rdict(str(tmp_path)) as client:
        store = RocksDBStore(db=client)
        await check_pages_under_writes(store, RocksDBStore(db=client), 600)
        await store.close()


async def test_a_cursor_continues_in_a_reopened_database(tmp_path: Path) -> None:
    async with RocksDBStore(path=tmp_path) as store:
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
        first = await store.scan(limit=2)
    async with RocksDBStore(path=tmp_path) as store:
        assert (first.keys, (await store.scan(cursor=first.cursor)).keys) == (["a", "b"], ["c"])


async def test_a_made_up_cursor_shows_nothing_outside_the_prefix(tmp_path: Path) -> None:
    async with RocksDBStore(path=tmp_path) as store:
        await store.put_many(["a", "b1", "b2", "c"], [{"n": 1}] * 4)
        cursor = marked("a", "RocksDBStore", "default_collection", "b")
        assert (await store.scan(prefix="b", cursor=cursor)).keys == ["b1", "b2"]


@pytest.mark.parametrize("limit", [1, 499, 500, 501, 10**9])
async def test_pages_of_any_size_have_every_key_once(tmp_path: Path, limit: int) -> None:
    keys = [f"k{number:04}" for number in range(20 if limit == 1 else 1001)]
    async with RocksDBStore(path=tmp_path) as store:
        await store.put_many(keys, [{"n": 1}] * len(keys))
        assert await all_keys(store, limit) == keys
