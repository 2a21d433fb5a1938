"""The contracts of a store, on a fake registry in memory; on Windows, on the real one."""

from __future__ import annotations

from typing import Any

import pytest
from key_value.aio.stores.windows_registry import WindowsRegistryStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override


class TestWindowsRegistryStoreOnAFakeRegistry(StoreTests[WindowsRegistryStore]):
    @pytest.fixture
    def store(self, raw: Any, registry_path: str) -> WindowsRegistryStore:
        self.raw, self.path = raw, registry_path
        return WindowsRegistryStore(registry_path=registry_path)

    @override
    def reopen(self, store: WindowsRegistryStore) -> WindowsRegistryStore:
        return WindowsRegistryStore(registry_path=self.path)

    @override
    async def read_stored(self, store: WindowsRegistryStore, collection: str, key: str) -> str | None:
        return self.raw.read(collection, key)

    @override
    async def corrupt_stored(self, store: WindowsRegistryStore, collection: str, key: str, data: bytes) -> None:
        try:
            self.raw.write(collection, key, data.decode())
        except UnicodeDecodeError:
            self.raw.write(collection, key, data, self.raw.winreg.REG_BINARY)

    @override
    async def put_foreign(self, store: WindowsRegistryStore) -> None:
        self.raw.write("default_collection", "foreign", "text")
        self.raw.write("settings\\of another", "a", "text")

    @override
    async def has_foreign(self, store: WindowsRegistryStore) -> bool:
        return (self.raw.read("default_collection", "foreign"), self.raw.read("settings\\of another", "a")) == (
            "text",
            "text",
        )


def test_a_windows_registry_store_behaves_like_a_dict(raw: Any, registry_path: str) -> None:
    def make() -> WindowsRegistryStore:
        raw.remove()
        return WindowsRegistryStore(registry_path=registry_path)

    check_against_dict(make)
