"""What a page of keys reads, and returns during concurrent writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from embedded import check_pages_under_writes
from key_value.aio.core import clock
from key_value.aio.core.marks import marked
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.stores.duckdb.entries import statement_on
from rivals import all_keys

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def raw() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


async def test_a_prefix_limits_the_range_that_duckdb_scans(raw: duckdb.DuckDBPyConnection) -> None:
    await DuckDBStore(connection=raw).setup()
    raw.execute("""
        INSERT INTO kv_entries SELECT 'c', printf('k%06d', i), '{}', now(), NULL, 1 FROM range(300000) t(i)
    """)
    plan = raw.execute(
        f"EXPLAIN ANALYZE {statement_on('kv_entries', 'keys')}", ["c", "", "k0100", clock.now(), 1000]
    ).fetchall()[0][1]
    assert "key >= 'k0100'" in plan
    assert "key < 'k0101'" in plan
    # Of the three groups of 122 880 rows, DuckDB skips those that cannot contain such keys.
    assert "Row Groups Scanned: 1 / 3" in plan


@pytest.mark.parametrize("limit", [1, 999, 1000, 10**9])
async def test_pages_of_any_size_have_every_key_once(raw: duckdb.DuckDBPyConnection, limit: int) -> None:
    store = DuckDBStore(connection=raw)
    keys = [f"k{number:05}" for number in range(20 if limit == 1 else 10_001)]
    await store.put_many(keys, [{"n": 1}] * len(keys))
    assert await all_keys(store, limit) == keys
    assert len((await store.scan(limit=limit)).keys) <= 10_000


async def test_pages_have_every_lasting_key_while_others_are_put_and_deleted(raw: duckdb.DuckDBPyConnection) -> None:
    await check_pages_under_writes(DuckDBStore(connection=raw), DuckDBStore(connection=raw), 90)


async def test_a_made_up_cursor_shows_nothing_outside_the_prefix(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put_many(["a", "b1", "b2", "c"], [{"n": 1}] * 4)
    cursor = marked("a", "DuckDBStore", "default_collection", "b")
    assert (await store.scan(prefix="b", cursor=cursor)).keys == ["b1", "b2"]
