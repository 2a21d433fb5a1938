"""Invalid options, tables and sessions, and concurrent stores."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from embedded import check_writes_at_once
from embedded_cases import TableCases
from key_value.aio.errors import KeyValueStoreError, StoreSetupError
from key_value.aio.stores.chdb import ChDBStore
from raw_chdb import RawChDB
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

ENTRY = "collection String, key String, value String, created_at String, expires_at String, version Int32"
STAMP = "inserted_at DateTime64(9, 'UTC') DEFAULT now64(9)"
ENGINE = "ENGINE = ReplacingMergeTree(inserted_at)"


# Options and URLs


class TestChDBOptions(TableCases[ChDBStore]):
    store_type = ChDBStore
    scheme = "chdb"

    @override
    def open(self, raw: RawChDB, path: Path, **options: Any) -> ChDBStore:
        return ChDBStore(path=path, **options)

    @override
    def rows(self, raw: RawChDB, sql: str) -> list[tuple[Any, ...]]:
        return raw.rows(sql)


def test_a_session_and_a_path_are_refused(raw: RawChDB, path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        ChDBStore(session=raw.session, database_path=path)


@pytest.mark.parametrize("path", ["", "data?mode=ro", "a\0b", "a\udcff"])
def test_a_path_that_chdb_would_misinterpret_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="path must"):
        ChDBStore(path=path)


@pytest.mark.parametrize(
    "made_by",
    [
        "CREATE TABLE kv_entries (id Int32) ENGINE = Log",
        f"CREATE TABLE kv_entries ({ENTRY}, inserted_at DateTime) {ENGINE} ORDER BY (collection, key)",
        f"CREATE TABLE kv_entries ({ENTRY}, {STAMP}) {ENGINE} ORDER BY key",
        f"CREATE TABLE kv_entries ({ENTRY}, {STAMP}) ENGINE = MergeTree ORDER BY (collection, key)",
        "CREATE VIEW kv_entries AS SELECT 1 AS collection",
    ],
    ids=["other columns", "other types", "other order", "other engine", "view"],
)
@pytest.mark.parametrize("auto_create", [True, False])
async def test_a_table_with_another_schema_is_refused(
    raw: RawChDB, path: Path, made_by: str, *, auto_create: bool
) -> None:
    raw.rows(made_by)
    before = raw.rows("DESCRIBE kv_entries")
    with pytest.raises(StoreSetupError, match="kv_entries"):
        await ChDBStore(path=path, auto_create=auto_create).put("a", {"n": 1})
    assert raw.rows("DESCRIBE kv_entries") == before


async def test_a_table_with_more_columns_in_another_order_is_accepted(raw: RawChDB, path: Path) -> None:
    raw.rows(f"CREATE TABLE kv_entries (note String DEFAULT 'n', {STAMP}, {ENTRY}) {ENGINE} ORDER BY (key, collection)")
    async with ChDBStore(path=path) as store:
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=100)
        await store.put("a", {"n": 3})
        assert await store.get_many(["a", "b"]) == [{"n": 3}, {"n": 2}]


async def test_a_chdb_error_is_reported_without_the_value(raw: RawChDB, path: Path) -> None:
    async with ChDBStore(path=path) as store:
        await store.setup()
        raw.rows("DROP TABLE kv_entries SYNC")
        for call in (store.get("a"), store.put("a", {"secret": "hunter2"}), store.put_if_absent("a", {"s": "hunter2"})):
            with pytest.raises(KeyValueStoreError, match="unknown table") as error:
                await call
            assert "hunter2" not in str(error.value)


# Sessions


async def test_a_session_is_left_open(raw: RawChDB) -> None:
    store = ChDBStore(session=raw.session)
    await store.put("a", {"n": 1})
    await store.close()
    assert raw.rows("SELECT key FROM kv_entries") == [("a",)]
    assert await store.get("a") == {"n": 1}
    await store.close()


async def test_the_table_is_in_the_current_database_of_the_session(path: Path, raw: RawChDB) -> None:
    with RawChDB(path) as other:
        other.rows("CREATE DATABASE `a b'\\`c`")
        other.rows("USE `a b'\\`c`")
        store = ChDBStore(session=other.session)
        other.rows("USE default")
        await store.put("a", {"n": 1})
        await store.close()
        assert other.rows("SELECT key FROM `a b'\\`c`.kv_entries") == [("a",)]
        assert raw.rows("SHOW TABLES") == []
        other.rows("DROP DATABASE `a b'\\`c` SYNC")


async def test_a_database_that_was_dropped_is_a_setup_error(path: Path) -> None:
    with RawChDB(path) as other:
        other.rows("CREATE DATABASE gone")
        other.rows("USE gone")
        store = ChDBStore(session=other.session)
        other.rows("USE default")
        other.rows("DROP DATABASE gone SYNC")
        with pytest.raises(StoreSetupError, match=r"cannot open the chDB database .*: unknown database"):
            await store.get("a")


async def test_a_session_is_durable_if_its_directory_is(raw: RawChDB) -> None:
    assert ChDBStore(session=raw.session).capabilities.durable is True


def test_a_closed_session_is_a_setup_error(path: Path, raw: RawChDB) -> None:  # noqa: ARG001 — which keeps the engine
    other = RawChDB(path)
    other.close()
    with pytest.raises(StoreSetupError, match="has been closed"):
        ChDBStore(session=other.session)


async def test_parameters_of_the_owner_and_the_store_do_not_mix(raw: RawChDB) -> None:
    done = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not done.is_set():
            rows = raw.rows("SELECT hex(unhex({key:String}))", key="owner")
            wrong.extend(row for row in rows if row != (b"owner".hex().upper(),))

    asking = threading.Thread(target=ask)
    async with ChDBStore(session=raw.session) as store:
        asking.start()
        try:
            for number in range(50):
                await store.put(f"k{number}", {"n": number})
                assert await store.get(f"k{number}") == {"n": number}
                assert await store.put_if_absent(f"k{number}", {}) is False
        finally:
            done.set()
            asking.join()
        assert sorted(await store.keys()) == sorted(f"k{number}" for number in range(50))
    assert wrong == []


# Several stores


def test_several_stores_on_one_directory_write_the_same_keys_at_once(raw: RawChDB, path: Path) -> None:
    stores = [ChDBStore(database_path=path), ChDBStore(database_path=path), ChDBStore(session=raw.session)]
    check_writes_at_once(stores, 10, lambda: time.sleep(0.05))
    owned: list[Any] = raw.rows("SELECT key FROM kv_entries FINAL WHERE key LIKE 'own%' ORDER BY key")
    assert owned == [("own 0",), ("own 1",), ("own 2",)]
