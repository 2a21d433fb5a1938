"""The contracts of a store: all with exact names, and those about names with every other spelling."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
    directory,
)
from key_value.aio.testing import CrashTests, StoreTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.names import NameTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FOREIGN = {
    "default_collection/notes.txt": "text",
    "default_collection/settings.json": '{"value": {"a": 1}}',
    "elsewhere/more.json": "[1]",
    "README-info.json": "about this directory",
}


class FileTreeContract(StoreContract[FileTreeStore]):
    many_keys = 1500
    options: ClassVar[Mapping[str, Any]] = {}
    tree: Path

    @pytest.fixture
    def store(self, tmp_path: Path) -> FileTreeStore:
        self.tree = tmp_path / "tree"
        return self.open()

    def open(self) -> FileTreeStore:
        return FileTreeStore(data_directory=self.tree, **self.options)

    @override
    def reopen(self, store: FileTreeStore) -> FileTreeStore:
        return self.open()

    @override
    def address(self, store: FileTreeStore) -> tuple[str, dict[str, Any]]:
        options = {name: option for name, option in self.options.items() if isinstance(option, bool)}
        return "key_value.aio.stores.filetree:FileTreeStore", {"data_directory": str(self.tree), **options}

    @override
    async def read_stored(self, store: FileTreeStore, collection: str, key: str) -> bytes | None:
        path = self.tree / collection / f"{key}.json"
        return path.read_bytes() if path.exists() else None

    @override
    async def corrupt_stored(self, store: FileTreeStore, collection: str, key: str, data: bytes) -> None:
        path = self.tree / collection / f"{key}.json"
        assert path.exists()
        path.write_bytes(data)

    @override
    async def put_foreign(self, store: FileTreeStore) -> None:
        for name, text in FOREIGN.items():
            path = self.tree / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    @override
    async def has_foreign(self, store: FileTreeStore) -> bool:
        return {name: (self.tree / name).read_text() for name in FOREIGN} == FOREIGN


class TestFileTreeStore(FileTreeContract, StoreTests[FileTreeStore]):
    many_keys = 10_500


class TestFileTreeStoreWithPortableNames(
    FileTreeContract, NameTests[FileTreeStore], EnumerationTests[FileTreeStore], DestructionTests[FileTreeStore]
):
    """The contracts that depend on the spelling of names. The other code is the same."""

    options: ClassVar[Mapping[str, Any]] = {"portable_names": True}


class TestFileTreeStoreWithStrategies(FileTreeContract, NameTests[FileTreeStore], DestructionTests[FileTreeStore]):
    options: ClassVar[Mapping[str, Any]] = {
        "key_sanitization_strategy": FileTreeV1KeySanitizationStrategy("."),
        "collection_sanitization_strategy": FileTreeV1CollectionSanitizationStrategy("."),
    }


class TestFileTreeStoreWithFsync(FileTreeContract, ConcurrencyTests[FileTreeStore]):
    options: ClassVar[Mapping[str, Any]] = {"fsync": True}


class TestFileTreeStoreByPath(FileTreeContract, DestructionTests[FileTreeStore], ConcurrencyTests[FileTreeStore]):
    """As on a platform without directory descriptors, such as Windows."""

    @pytest.fixture(autouse=True)
    def without_descriptors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(directory, "_HAS_DESCRIPTORS", False)
        monkeypatch.setattr(directory, "_NO_FOLLOW", 0)


class TestFileTreeStoreUnderCrashes(CrashTests):
    store_path = "key_value.aio.stores.filetree:FileTreeStore"
    shared_by_processes = True

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"data_directory": str(directory)}


def test_a_file_tree_store_behaves_like_a_dict(tmp_path: Path) -> None:
    numbers = count()
    check_against_dict(lambda: FileTreeStore(data_directory=tmp_path / str(next(numbers))))
