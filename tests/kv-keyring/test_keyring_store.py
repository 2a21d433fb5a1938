"""The contracts of a store, on gnome-keyring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.keyring import KeyringStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.values import ValueTests
from keyring.backends.SecretService import Keyring
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable


TESTS_OF_1000_ENTRIES = ("test_a_batch_of_1000_entries_works", "test_1000_concurrent_operations_work")


class KeyringContract(StoreContract[KeyringStore]):
    raw: Any
    """The raw client, set by the fixture `store`."""

    @override
    async def read_stored(self, store: KeyringStore, collection: str, key: str) -> bytes | None:
        return self.raw.read(f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: KeyringStore, collection: str, key: str, data: bytes) -> None:
        self.raw.write(f"{collection}::{key}", data)


class TestKeyringStore(KeyringContract, StoreTests[KeyringStore]):
    """On a collection in memory and one connection, to save minutes."""

    @pytest.fixture
    def store(self, kept_keyring: Callable[[], Any], raw_session: Any) -> KeyringStore:
        self.raw, self.make_keyring = raw_session, kept_keyring
        return self._open()

    @override
    def reopen(self, store: KeyringStore) -> KeyringStore:
        return self._open()

    @pytest.fixture(autouse=True)
    def skip_tests_of_1000_entries(self, request: pytest.FixtureRequest) -> None:
        if request.node.originalname in TESTS_OF_1000_ENTRIES:
            pytest.skip("17 s on gnome-keyring: tests/kv-keyring/test_keyring_fakes.py runs it on fakes")

    def _open(self) -> KeyringStore:
        return KeyringStore(service_name=self.raw.service, keyring=self.make_keyring())


class TestKeyringStoreInTheDefaultCollection(KeyringContract, ValueTests[KeyringStore]):
    @pytest.fixture
    def store(self, raw: Any) -> KeyringStore:
        self.raw = raw
        return KeyringStore(service_name=raw.service, keyring=Keyring())
