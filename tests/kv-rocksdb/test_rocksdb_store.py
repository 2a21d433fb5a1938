"""The contracts of a store, on its own RocksDB database and on one shared with its owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.rocksdb import RocksDBStore
from key_value.aio.testing import CrashTests, StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict
from rocksdict import Rdict
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class TestRocksDBStore(StoreTests[RocksDBStore]):
    """On a database that is passed in, with the owner's client as the raw client."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[RocksDBStore]:
        with Rdict(str(tmp_path)) as self.raw:
            yield RocksDBStore(db=self.raw)

    @override
    def reopen(self, store: RocksDBStore) -> RocksDBStore:
        return RocksDBStore(db=self.raw)

    @override
    async def read_stored(self, store: RocksDBStore, collection: str, key: str) -> bytes | None:
        return self.raw.get(f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: RocksDBStore, collection: str, key: str, data: bytes) -> None:
        self.raw[f"{collection}::{key}"] = data

    @override
    async def put_foreign(self, store: RocksDBStore) -> None:
        for name, value in FOREIGN.items():
            self.raw[name] = value

    @override
    async def has_foreign(self, store: RocksDBStore) -> bool:
        return {name: self.raw.get(name) for name in FOREIGN} == FOREIGN


FOREIGN: dict[Any, Any] = {
    "foreign": "text",
    "default_collection::": b"bytes",
    "default_collection::b": b'{"version": 1, "value": {}}',
    "shelf::x": {"a": "dict"},
    "": 1,
    b"default_collection::a": b"bytes",
    5: 1.5,
}


class TestRocksDBStoreOnPath(BatchTests[RocksDBStore], LifecycleTests[RocksDBStore], ConcurrencyTests[RocksDBStore]):
    @pytest.fixture
    def store(self, tmp_path: Path) -> RocksDBStore:
        self.path = tmp_path / "entries"
        return RocksDBStore(path=self.path)

    @override
    def reopen(self, store: RocksDBStore) -> RocksDBStore:
        return RocksDBStore(path=self.path)

    @override
    async def test_two_objects_over_the_same_data_see_each_others_entries(self, store: RocksDBStore) -> None:
        pytest.skip("one object at a time has a path open; test_rocksdb_faults.py has what the second is told")

    @override
    async def test_one_of_the_deletes_through_several_objects_finds_the_entry(self, store: RocksDBStore) -> None:
        pytest.skip("one object at a time has a path open; test_rocksdb_versions.py has several on one database")


class TestRocksDBStoreAfterCrashes(CrashTests):
    store_path = "key_value.aio.stores.rocksdb:RocksDBStore"
    shared_by_processes = False

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"path": str(directory / "entries")}


def test_a_rocksdb_store_behaves_like_a_dict(tmp_path_factory: pytest.TempPathFactory) -> None:
    check_against_dict(lambda: RocksDBStore(path=tmp_path_factory.mktemp("rocksdb")))
