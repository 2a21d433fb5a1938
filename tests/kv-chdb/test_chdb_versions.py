"""Conditional writes against other stores on the same directory, and against its owner's SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from embedded import check_equal_values_have_versions, check_versions_across_openings
from key_value.aio.stores.chdb import ChDBStore
from rivals import RACES, count_up, winners

if TYPE_CHECKING:
    from pathlib import Path

    from raw_chdb import RawChDB

WRITERS = 4
INCREMENTS = 10


@pytest.mark.parametrize(
    "change",
    [
        "'{\"n\": 2}' AS value, now64(9) AS inserted_at",
        "now64(9) AS inserted_at",
        "'2100-01-01T00:00:00+00:00' AS expires_at, now64(9) AS inserted_at",
        "'{\"n\": 2}' AS value",
    ],
)
async def test_a_write_of_the_owner_in_between_is_noticed(path: Path, raw: RawChDB, change: str) -> None:
    async with ChDBStore(database_path=path) as store:
        await store.put("a", {"n": 1})
        version = (await store.get_versioned("a")).version
        assert version is not None
        raw.rows(f"INSERT INTO kv_entries SELECT * REPLACE ({change}) FROM kv_entries")  # noqa: S608 — ours
        rows = raw.rows("SELECT * FROM kv_entries FINAL")
        assert await store.put_if_version("a", {"n": 3}, version) is False
        assert await store.delete_if_version("a", version) is False
        assert raw.rows("SELECT * FROM kv_entries FINAL") == rows


async def test_storing_an_equal_value_again_changes_the_version(path: Path) -> None:
    async with ChDBStore(path=path) as store:
        await check_equal_values_have_versions(store, 20)


async def test_a_version_is_valid_until_the_next_opening(path: Path) -> None:
    async def change() -> None:
        async with ChDBStore(path=path) as other:
            await other.put("a", {"n": 2})

    await check_versions_across_openings(lambda: ChDBStore(database_path=path), change)


def test_concurrent_increments_of_many_stores_are_exact(path: Path, raw: RawChDB) -> None:
    count_up(lambda: ChDBStore(database_path=path), WRITERS, INCREMENTS)
    assert raw.rows("SELECT value FROM kv_entries FINAL") == [(f'{{"n":{WRITERS * INCREMENTS}}}',)]


@pytest.mark.parametrize("what", RACES)
def test_exactly_one_racing_call_wins(path: Path, raw: RawChDB, what: str) -> None:
    assert winners(lambda: ChDBStore(database_path=path), 20, what) == 1
    left = raw.rows("SELECT key FROM kv_entries FINAL WHERE expires_at = ''")
    assert left == ([("a",)] if what.startswith("put") else [])
