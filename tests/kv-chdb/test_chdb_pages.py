"""What a page of keys reads and returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.marks import marked
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.stores.chdb.statements import statement_on
from rivals import all_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from raw_chdb import RawChDB


@pytest.fixture
async def store(path: Path) -> AsyncIterator[ChDBStore]:
    async with ChDBStore(path=path) as store:
        yield store


async def test_a_prefix_and_a_cursor_limit_the_range_that_clickhouse_reads(raw: RawChDB, store: ChDBStore) -> None:
    await store.setup()
    raw.rows("""
        INSERT INTO kv_entries (collection, key, value, version)
        SELECT 'c', concat('k', leftPad(toString(number), 6, '0')), '{}', 1 FROM numbers(300000)
    """)
    explained = f"EXPLAIN indexes = 1 {statement_on('kv_entries', 'keys')}"
    given = {"collection": "c", "after": "k010011", "prefix": "k0100", "now": "2026", "limit": "1000"}
    plan = raw.session.query(explained, "TSVRaw", params=given).bytes().decode()
    (granules,) = [line.split("Granules: ")[1] for line in plan.splitlines() if "Granules: " in line and "/" in line]
    read, of = map(int, granules.split("/"))
    assert (read, of) == (1, pytest.approx(37, abs=2))


@pytest.mark.parametrize("limit", [1, 999, 10_000, 10**9])
async def test_pages_of_any_size_have_every_key_once(store: ChDBStore, limit: int) -> None:
    keys = [f"k{number:05}" for number in range(20 if limit == 1 else 10_001)]
    await store.put_many(keys, [{"n": 1}] * len(keys))
    assert await all_keys(store, limit) == keys
    assert len((await store.scan(limit=limit)).keys) <= 10_000


async def test_a_made_up_cursor_shows_nothing_outside_the_prefix(store: ChDBStore) -> None:
    await store.put_many(["a", "b1", "b2", "c"], [{"n": 1}] * 4)
    cursor = marked("a", "ChDBStore", "default_collection", "b")
    assert (await store.scan(prefix="b", cursor=cursor)).keys == ["b1", "b2"]
