"""The contracts of a store, on a DuckDB file, in memory, and on a connection shared with its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.testing import CrashTests, StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class DuckDBContract(StoreContract[DuckDBStore]):
    stores_envelopes = False
    raw: duckdb.DuckDBPyConnection
    """The owner's connection, set by the fixture `store`."""

    @override
    async def read_stored(self, store: DuckDBStore, collection: str, key: str) -> str | None:
        await store.setup()
        sql = "SELECT value::VARCHAR FROM kv_entries WHERE collection = ? AND key = ?"
        row = self.raw.execute(sql, [collection, key]).fetchone()
        return None if row is None else row[0]

    @override
    async def corrupt_stored(self, store: DuckDBStore, collection: str, key: str, data: bytes) -> None:
        try:
            parameters = [data.decode(), collection, key]
            self.raw.execute("UPDATE kv_entries SET value = ? WHERE collection = ? AND key = ?", parameters)
        except (UnicodeDecodeError, duckdb.ConversionException):
            pytest.skip("a column of type JSON holds nothing but JSON")

    @override
    async def put_foreign(self, store: DuckDBStore) -> None:
        self.raw.execute("CREATE TABLE kv_entries_2 AS SELECT 1 AS number")

    @override
    async def has_foreign(self, store: DuckDBStore) -> bool:
        return self.raw.execute("SELECT number FROM kv_entries_2").fetchall() == [(1,)]


class TestDuckDBStore(DuckDBContract, StoreTests[DuckDBStore]):
    """On a connection shared with its owner, here the raw client."""

    @pytest.fixture
    def store(self) -> Iterator[DuckDBStore]:
        with duckdb.connect() as self.raw:
            yield DuckDBStore(connection=self.raw)

    @override
    def reopen(self, store: DuckDBStore) -> DuckDBStore:
        return DuckDBStore(connection=self.raw)


class TestDuckDBStoreOnFile(DuckDBContract, LifecycleTests[DuckDBStore]):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[DuckDBStore]:
        self.path = tmp_path / "entries.duckdb"
        with duckdb.connect(self.path) as self.raw:
            yield DuckDBStore(database_path=self.path)

    @override
    def reopen(self, store: DuckDBStore) -> DuckDBStore:
        return DuckDBStore(database_path=self.path)


class TestDuckDBStoreInMemory(LifecycleTests[DuckDBStore]):
    stores_envelopes = False

    @pytest.fixture
    def store(self) -> DuckDBStore:
        return DuckDBStore()


class TestDuckDBStoreAfterCrashes(CrashTests):
    store_path = "key_value.aio.stores.duckdb:DuckDBStore"
    shared_by_processes = False
    crashes = 15

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"database_path": str(directory / "entries.duckdb")}


def test_a_duckdb_store_behaves_like_a_dict() -> None:
    check_against_dict(DuckDBStore)
