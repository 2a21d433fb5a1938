"""A ValkeyStore on a cluster."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from cluster_cases import ClusterCases
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.valkey import ValkeyStore
from servers.valkey_cluster import ValkeyCluster

if TYPE_CHECKING:
    from servers.redis_cluster import RedisCluster


class TestValkeyStoreOnACluster(ClusterCases[ValkeyStore]):
    server = ValkeyCluster

    @pytest.fixture
    def cluster(self, valkey_cluster: ValkeyCluster) -> ValkeyCluster:
        return valkey_cluster

    def open(self, cluster: RedisCluster, **options: Any) -> ValkeyStore:
        return ValkeyStore.from_url(f"{cluster.url}?cluster=true", **options)

    async def serves_again(self, store: ValkeyStore, keys: list[str]) -> None:
        """Wait until the driver has found the node again, which takes it some seconds."""
        await asyncio.gather(*(self._wait_until_served(store, key) for key in keys))

    async def _wait_until_served(self, store: ValkeyStore, key: str) -> None:
        deadline = time.monotonic() + 60
        while isinstance(found := await self.answer(store, key), Exception):
            assert isinstance(found, StoreConnectionError)
            assert time.monotonic() < deadline, str(found)
            await asyncio.sleep(0.1)
