"""The store contracts on Valkey and on a Valkey cluster."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import pytest
from glide import GlideClient, GlideClusterClient
from key_value.aio.stores.valkey import ValkeyStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.stateful import check_against_dict
from redis_cases import RedisContract, RedisFaultTests
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterator

    from glide import GlideClientConfiguration, GlideClusterClientConfiguration
    from servers.valkey import ValkeyServer
    from servers.valkey_cluster import ValkeyCluster

T = TypeVar("T")


class ClientTests(
    RedisContract[ValkeyStore],
    BatchTests[ValkeyStore],
    EnumerationTests[ValkeyStore],
    DestructionTests[ValkeyStore],
    ConcurrencyTests[ValkeyStore],
):
    """The contracts that depend on how a client sends and reads; the others run the same code with any client."""


class TestValkeyStore(RedisContract[ValkeyStore], StoreTests[ValkeyStore]):
    @pytest.fixture
    def store(self, url: str, raw: Any) -> ValkeyStore:
        self.url, self.raw = url, raw
        return ValkeyStore.from_url(url)

    @override
    def reopen(self, store: ValkeyStore) -> ValkeyStore:
        return ValkeyStore.from_url(self.url)

    @override
    def address(self, store: ValkeyStore) -> tuple[str, dict[str, Any]]:
        place = urlsplit(self.url)
        options = {"host": place.hostname, "port": place.port, "db": int(place.path[1:])}
        return "key_value.aio.stores.valkey:ValkeyStore", options


class TestValkeyStoreOnCluster(RedisContract[ValkeyStore], StoreTests[ValkeyStore]):
    @pytest.fixture
    def store(self, valkey_cluster: ValkeyCluster, raw_cluster: Any) -> ValkeyStore:
        self.url, self.raw = valkey_cluster.url, raw_cluster
        return self._open()

    @override
    def reopen(self, store: ValkeyStore) -> ValkeyStore:
        return self._open()

    @override
    def address(self, store: ValkeyStore) -> tuple[str, dict[str, Any]]:
        place = urlsplit(self.url)
        options = {"host": place.hostname, "port": place.port, "cluster": True}
        return "key_value.aio.stores.valkey:ValkeyStore", options

    def _open(self) -> ValkeyStore:
        return ValkeyStore.from_url(f"{self.url}?cluster=true")


class TestValkeyStoreWithConfig(ClientTests):
    @pytest.fixture
    def store(self, config: GlideClientConfiguration, raw: Any) -> ValkeyStore:
        self.config, self.raw = config, raw
        return ValkeyStore(config=self.config)

    @override
    def reopen(self, store: ValkeyStore) -> ValkeyStore:
        return ValkeyStore(config=self.config)


class ClientOfOneLoopTests(ClientTests):
    """A client that is passed in belongs to one event loop; the tests run in that loop."""

    any_event_loop = False

    @override
    def run_in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    @override
    def reopen(self, store: ValkeyStore) -> ValkeyStore:
        return ValkeyStore(client=self.client)

    @contextmanager
    def opened(self, client: Coroutine[Any, Any, GlideClient | GlideClusterClient]) -> Generator[ValkeyStore]:
        self.loop = asyncio.new_event_loop()
        try:
            self.client = self.loop.run_until_complete(client)
            yield ValkeyStore(client=self.client)
            self.loop.run_until_complete(self.client.close())
        finally:
            self.loop.close()


class TestValkeyStoreWithClient(ClientOfOneLoopTests):
    @pytest.fixture
    def store(self, config: GlideClientConfiguration, raw: Any) -> Iterator[ValkeyStore]:
        self.raw = raw
        with self.opened(GlideClient.create(config)) as store:
            yield store


class TestValkeyStoreWithClusterClient(ClientOfOneLoopTests):
    @pytest.fixture
    def store(self, cluster_config: GlideClusterClientConfiguration, raw_cluster: Any) -> Iterator[ValkeyStore]:
        self.raw = raw_cluster
        with self.opened(GlideClusterClient.create(cluster_config)) as store:
            yield store


class TestValkeyStoreUnderFaults(RedisFaultTests[ValkeyStore]):
    @pytest.fixture
    @override
    def killable_server(self, private_valkey: ValkeyServer) -> ValkeyServer:
        return private_valkey

    @override
    def store_at(self, host: str, port: int) -> ValkeyStore:
        return ValkeyStore(host=host, port=port, timeout=2.0)


# hypothesis inspects every module, and some of the driver's modules warn about that.
@pytest.mark.filterwarnings("ignore:Importing from 'glide:DeprecationWarning")
def test_a_valkey_store_behaves_like_a_dict(url: str, raw: Any) -> None:
    def make_store() -> ValkeyStore:
        raw.flushdb()
        return ValkeyStore.from_url(url)

    check_against_dict(make_store)
