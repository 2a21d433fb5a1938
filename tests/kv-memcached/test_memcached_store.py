"""The store contracts on Memcached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiomcache import Client
from key_value.aio.stores.memcached import MemcachedStore, MemcachedV1KeySanitizationStrategy
from key_value.aio.testing import StoreTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.names import NameTests
from key_value.aio.testing.stateful import check_against_dict
from typing_extensions import override

if TYPE_CHECKING:
    from servers.memcached import MemcachedServer


class MemcachedContract(StoreContract[MemcachedStore]):
    raw: Any
    """The raw connection, set by the fixture `store`."""

    @override
    async def read_stored(self, store: MemcachedStore, collection: str, key: str) -> bytes | None:
        return self.raw.get(f"{collection}::{key}")

    @override
    async def corrupt_stored(self, store: MemcachedStore, collection: str, key: str, data: bytes) -> None:
        self.raw.set(f"{collection}::{key}", data)

    @override
    async def put_foreign(self, store: MemcachedStore) -> None:
        self.raw.set("foreign", b"text")
        self.raw.set("foreign::name", b'{"value": {}}')

    @override
    async def has_foreign(self, store: MemcachedStore) -> bool:
        return (self.raw.get("foreign"), self.raw.get("foreign::name")) == (b"text", b'{"value": {}}')


class TestMemcachedStore(MemcachedContract, StoreTests[MemcachedStore]):
    @pytest.fixture
    def store(self, raw: Any) -> MemcachedStore:
        self.raw = raw
        return self.reopen()

    @override
    def reopen(self, store: MemcachedStore | None = None) -> MemcachedStore:
        host, port = self.raw.address
        return MemcachedStore(host=host, port=port)

    @override
    def address(self, store: MemcachedStore) -> tuple[str, dict[str, Any]]:
        host, port = self.raw.address
        return "key_value.aio.stores.memcached:MemcachedStore", {"host": host, "port": port}


class TestMemcachedStoreWithClient(MemcachedContract, StoreTests[MemcachedStore]):
    @pytest.fixture
    def store(self, raw: Any) -> MemcachedStore:
        self.raw = raw
        return MemcachedStore(client=Client(*raw.address))

    @override
    def reopen(self, store: MemcachedStore) -> MemcachedStore:
        return MemcachedStore(client=Client(*self.raw.address))


class TestMemcachedStoreWithV1Names(MemcachedContract, NameTests[MemcachedStore], DestructionTests[MemcachedStore]):
    @pytest.fixture
    def store(self, raw: Any) -> MemcachedStore:
        self.raw = raw
        host, port = raw.address
        strategy = MemcachedV1KeySanitizationStrategy()
        return MemcachedStore(host=host, port=port, key_sanitization_strategy=strategy)


class TestMemcachedStoreUnderFaults(FaultTests[MemcachedStore]):
    @pytest.fixture
    def server_address(self, raw: Any) -> tuple[str, int]:
        return raw.address

    @pytest.fixture
    @override
    def killable_server(self, private_memcached: MemcachedServer) -> MemcachedServer:
        return private_memcached

    @override
    def store_at(self, host: str, port: int) -> MemcachedStore:
        return MemcachedStore(host=host, port=port, timeout=2.0)


def test_a_memcached_store_behaves_like_a_dict(raw: Any) -> None:
    def make_store() -> MemcachedStore:
        assert raw.ask("flush_all") == "OK"
        host, port = raw.address
        return MemcachedStore(host=host, port=port)

    check_against_dict(make_store)
