"""Conditional writes against other stores on the same database, and against writes by SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pytest
from embedded import check_equal_values_have_versions, check_expired_is_absent, check_versions_across_openings
from key_value.aio.stores.duckdb import DuckDBStore
from rivals import RACES, count_up, winners

if TYPE_CHECKING:
    from pathlib import Path

WRITERS = 4
INCREMENTS = 25


@pytest.mark.parametrize(
    "write",
    [
        """UPDATE kv_entries SET value = '{"n": 2}'""",
        "UPDATE kv_entries SET created_at = created_at + INTERVAL 1 MICROSECOND",
        "UPDATE kv_entries SET created_at = NULL",
        "UPDATE kv_entries SET expires_at = '2100-01-01'",
        "UPDATE kv_entries SET version = 2",
        """INSERT OR REPLACE INTO kv_entries VALUES ('default_collection', 'a', '{"n": 1}', now(), NULL, 1)""",
        "DELETE FROM kv_entries",
    ],
)
async def test_a_write_by_sql_in_between_is_noticed(path: Path, raw: duckdb.DuckDBPyConnection, write: str) -> None:
    async with DuckDBStore(database_path=path) as store:
        await store.put("a", {"n": 1})
        version = (await store.get_versioned("a")).version
        assert version is not None
        raw.execute(write)
        rows = raw.execute("SELECT * EXCLUDE (created_at, expires_at) FROM kv_entries").fetchall()
        assert await store.put_if_version("a", {"n": 3}, version) is False
        assert await store.delete_if_version("a", version) is False
        assert raw.execute("SELECT * EXCLUDE (created_at, expires_at) FROM kv_entries").fetchall() == rows


async def test_storing_an_equal_value_again_changes_the_version() -> None:
    await check_equal_values_have_versions(DuckDBStore(), 50)


async def test_a_version_is_valid_until_the_next_opening(path: Path) -> None:
    async def change() -> None:
        with duckdb.connect(path) as owner:
            owner.execute("""UPDATE kv_entries SET value = '{"n": 2}' WHERE key = 'a'""")

    await check_versions_across_openings(lambda: DuckDBStore(database_path=path), change)


async def test_an_expired_entry_is_absent(path: Path, raw: duckdb.DuckDBPyConnection) -> None:
    async with DuckDBStore(database_path=path) as store:
        raw.execute("INSERT INTO kv_entries VALUES ('default_collection', 'a', '{}', NULL, '2020-01-01', 1)")
        await check_expired_is_absent(store)


@pytest.mark.usefixtures("patient")
def test_concurrent_increments_on_many_connections_are_exact(path: Path) -> None:
    count_up(lambda: DuckDBStore(database_path=path), WRITERS, INCREMENTS)
    with duckdb.connect(path) as raw:
        assert raw.execute("SELECT value::VARCHAR FROM kv_entries").fetchall() == [(f'{{"n":{WRITERS * INCREMENTS}}}',)]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("what", RACES)
def test_exactly_one_racing_call_wins(path: Path, what: str) -> None:
    assert winners(lambda: DuckDBStore(database_path=path), 50, what) == 1
    with duckdb.connect(path) as raw:
        left = raw.execute("SELECT count(*) FROM kv_entries").fetchall()
        assert left == [(what.startswith("put"),)]
