"""The contracts of a store, and of a store that keeps its data when its process is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.testing import CrashTests, StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execute


class DiskContract(StoreContract[Any]):
    stores_envelopes = False
    path: Path
    execute: Execute

    @pytest.fixture(autouse=True)
    def _look_into(self, tmp_path: Path, execute: Execute) -> None:
        self.path, self.execute = tmp_path, execute

    def databases(self) -> list[Path]:
        return [file.parent for file in self.path.rglob("key-value.db")]

    @override
    async def read_stored(self, store: Any, collection: str, key: str) -> bytes | None:
        await store.setup()
        sql = "SELECT value FROM entries WHERE collection = ? AND key = ?"
        rows = [row for path in self.databases() for row in self.execute(path, sql, collection, key)]
        return rows[0][0] if rows else None

    @override
    async def corrupt_stored(self, store: Any, collection: str, key: str, data: bytes) -> None:
        for path in self.databases():
            sql = "UPDATE entries SET value = ? WHERE collection = ? AND key = ?"
            self.execute(path, sql, data, collection, key)

    @override
    async def put_foreign(self, store: Any) -> None:
        (self.path / "notes.txt").write_text("not ours")
        (self.path / "others").mkdir()

    @override
    async def has_foreign(self, store: Any) -> bool:
        return (self.path / "notes.txt").read_text() == "not ours" and (self.path / "others").is_dir()


class TestDiskStore(DiskContract, StoreTests[DiskStore]):
    @pytest.fixture
    def store(self, tmp_path: Path) -> DiskStore:
        return DiskStore(directory=tmp_path)

    @override
    def reopen(self, store: DiskStore) -> DiskStore:
        return DiskStore(directory=self.path)

    @override
    def address(self, store: DiskStore) -> tuple[str, dict[str, str]]:
        return "key_value.aio.stores.disk:DiskStore", {"directory": str(self.path)}


class TestMultiDiskStore(DiskContract, StoreTests[MultiDiskStore]):
    @pytest.fixture
    def store(self, tmp_path: Path) -> MultiDiskStore:
        return MultiDiskStore(base_directory=tmp_path)

    @override
    def reopen(self, store: MultiDiskStore) -> MultiDiskStore:
        return MultiDiskStore(base_directory=self.path)

    @override
    def address(self, store: MultiDiskStore) -> tuple[str, dict[str, str]]:
        return "key_value.aio.stores.disk:MultiDiskStore", {"base_directory": str(self.path)}


class TestDiskStoreUnderCrashes(CrashTests):
    store_path = "key_value.aio.stores.disk:DiskStore"

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"directory": str(directory)}


class TestMultiDiskStoreUnderCrashes(CrashTests):
    store_path = "key_value.aio.stores.disk:MultiDiskStore"
    crashes = 10

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"base_directory": str(directory)}


def test_a_store_behaves_like_a_dict(tmp_path_factory: pytest.TempPathFactory) -> None:
    check_against_dict(lambda: DiskStore(directory=tmp_path_factory.mktemp("store")))
