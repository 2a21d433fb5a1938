"""The store contracts on Redis, Redis Cluster and Redis behind Sentinel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.expiry import ExpiryTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict
from redis import Redis as SyncRedis
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.sentinel import Sentinel
from redis.sentinel import Sentinel as RawSentinel
from redis_cases import RedisContract, RedisFaultTests
from typing_extensions import override

from .conftest import StoreWithClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from servers import redis_cluster as clusters
    from servers.redis import RedisServer
    from servers.redis_sentinel import RedisSentinel

Client: Any = Redis  # with untyped options
Sync: Any = SyncRedis  # annotated to return either plain values or awaitables


class AnswerTests(
    RedisContract[RedisStore],
    BatchTests[RedisStore],
    EnumerationTests[RedisStore],
    DestructionTests[RedisStore],
    ConcurrencyTests[RedisStore],
):
    """The contracts that depend on how a client sends and reads; the others run the same code with any client."""


class ClientContract(RedisContract[RedisStore]):
    """The contract of a store with a client that was passed in, which belongs to one event loop."""

    any_event_loop = False
    url: str

    @pytest.fixture
    def store(self, url: str, raw: Any) -> RedisStore:
        self.url, self.raw = url, raw
        return self._open()

    @override
    def reopen(self, store: RedisStore) -> RedisStore:
        return self._open()

    def _open(self) -> RedisStore:
        """Return a store with a new client."""
        raise NotImplementedError


class TestRedisStore(RedisContract[RedisStore], StoreTests[RedisStore]):
    @pytest.fixture
    def store(self, url: str, raw: Any) -> RedisStore:
        self.url, self.raw = url, raw
        return RedisStore(url=url)

    @override
    def reopen(self, store: RedisStore) -> RedisStore:
        return RedisStore(url=self.url)

    @override
    def address(self, store: RedisStore) -> tuple[str, dict[str, str]]:
        return "key_value.aio.stores.redis:RedisStore", {"url": self.url}


class TestRedisStoreWithDecodingClient(ClientContract, StoreTests[RedisStore]):
    @override
    def _open(self) -> RedisStore:
        return StoreWithClient(Client.from_url(self.url, decode_responses=True))


class TestRedisStoreWithClient(ClientContract, AnswerTests):
    @override
    def _open(self) -> RedisStore:
        return StoreWithClient(Client.from_url(self.url))


class TestRedisStoreOnCluster(AnswerTests, ExpiryTests[RedisStore], LifecycleTests[RedisStore]):
    @pytest.fixture
    def store(self, redis_cluster: clusters.RedisCluster, raw_cluster: Any) -> RedisStore:
        self.urls, self.raw = redis_cluster.urls, raw_cluster
        return RedisStore(url=self.urls)

    @override
    def reopen(self, store: RedisStore) -> RedisStore:
        return RedisStore(url=self.urls)


class TestRedisStoreWithClusterClient(ClientContract, AnswerTests):
    @pytest.fixture
    def store(self, redis_cluster: clusters.RedisCluster, raw_cluster: Any) -> RedisStore:
        self.url, self.raw = redis_cluster.url, raw_cluster
        return self._open()

    @override
    def _open(self) -> RedisStore:
        return StoreWithClient(RedisCluster.from_url(self.url))


class TestRedisStoreWithSentinelClient(ClientContract, AnswerTests):
    @pytest.fixture
    def store(self, redis_sentinel: RedisSentinel) -> Iterator[RedisStore]:
        self.place = (redis_sentinel.host, redis_sentinel.port)
        self.service_name = redis_sentinel.service_name
        raw: Any = RawSentinel([self.place])
        with raw.master_for(self.service_name) as self.raw, raw.sentinels[0]:
            self.raw.flushdb()
            yield self._open()

    @override
    def _open(self) -> RedisStore:
        sentinel: Any = Sentinel([self.place])
        return StoreWithClient(sentinel.master_for(self.service_name), *sentinel.sentinels)


class TestRedisStoreBehindSentinel(AnswerTests):
    @pytest.fixture
    def store(self, redis_sentinel: RedisSentinel) -> Iterator[RedisStore]:
        self.options: dict[str, Any] = {
            "url": f"redis://{redis_sentinel.host}:{redis_sentinel.port}",
            "sentinel": redis_sentinel.service_name,
        }
        with Sync.from_url(redis_sentinel.master.url) as self.raw:
            self.raw.flushdb()
            yield RedisStore(**self.options)

    @override
    def reopen(self, store: RedisStore) -> RedisStore:
        return RedisStore(**self.options)


class TestRedisStoreUnderFaults(RedisFaultTests[RedisStore]):
    @pytest.fixture
    @override
    def killable_server(self, private_redis: RedisServer) -> RedisServer:
        return private_redis

    @override
    def store_at(self, host: str, port: int) -> RedisStore:
        return RedisStore(host=host, port=port, timeout=2.0)


def test_a_redis_store_behaves_like_a_dict(url: str, raw: Any) -> None:
    def make_store() -> RedisStore:
        raw.flushdb()
        return RedisStore(url=url)

    check_against_dict(make_store)
