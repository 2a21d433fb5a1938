"""Connections of the owner, and concurrent stores."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from embedded import check_writes_at_once
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.duckdb import DuckDBStore

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


async def test_a_connection_is_left_open(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    await store.close()
    assert raw.execute("SELECT key FROM kv_entries").fetchall() == [("a",)]
    assert await store.get("a") == {"n": 1}


async def test_a_connection_closed_by_its_owner_is_a_connection_error(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.close()
    with pytest.raises(StoreConnectionError):
        await store.get("a")


async def test_uncommitted_writes_of_the_owner_are_neither_seen_nor_disturbed(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    assert await store.get("a") == {"n": 1}
    await store.put("b", {"n": 3})
    raw.commit()
    assert await store.get_many(["a", "b"]) == [{"n": 2}, {"n": 3}]


@pytest.mark.usefixtures("patient")
async def test_a_temporary_conflict_is_not_noticed(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    put = asyncio.ensure_future(store.put("a", {"n": 3}))
    done, _ = await asyncio.wait([put], timeout=0.05)
    assert not done
    raw.commit()
    await put
    assert await store.get("a") == {"n": 3}


async def test_a_lasting_conflict_is_a_connection_error(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    with pytest.raises(StoreConnectionError):
        await store.put("a", {"n": 3})
    raw.rollback()
    assert await store.get("a") == {"n": 1}


@pytest.mark.usefixtures("patient")
def test_several_stores_on_one_file_and_its_owner_write_the_same_keys_at_once(
    raw: duckdb.DuckDBPyConnection, path: Path
) -> None:
    stores = [DuckDBStore(database_path=path), DuckDBStore(database_path=path), DuckDBStore(connection=raw)]
    check_writes_at_once(stores, 15, lambda: raw.execute("SELECT count(*) FROM duckdb_tables()").fetchall())
    owned = raw.execute("SELECT key FROM kv_entries WHERE key LIKE 'own%' ORDER BY key").fetchall()
    assert owned == [("own 0",), ("own 1",), ("own 2",)]
