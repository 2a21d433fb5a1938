"""A RedisStore on a cluster, beyond the cases shared by all cluster stores."""

from __future__ import annotations

import asyncio
import gc
import time
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from cluster_cases import DOOMED, KEYS, VALUES, ClusterCases, keys_of, sizes
from key_value.aio.errors import StoreSetupError, StoreTimeoutError
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import RedisCluster as AsyncCluster
from servers.redis_cluster import RedisCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

ClusterClient: Any = AsyncCluster  # with untyped options


# redis-py does not close connections to a killed node; if collected later, their warnings would fail another test.
@pytest.fixture(autouse=True)
def _collect_unclosed_connections() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


class TestRedisStoreOnACluster(ClusterCases[RedisStore]):
    server = RedisCluster

    @pytest.fixture
    def cluster(self, redis_cluster: RedisCluster) -> RedisCluster:
        return redis_cluster

    def open(self, cluster: RedisCluster, **options: Any) -> RedisStore:
        return RedisStore(url=cluster.urls, **options)

    async def test_a_frozen_node_affects_only_its_own_slots(
        self, fragile_cluster: RedisCluster, fragile_raw: Any, fragile_store: RedisStore
    ) -> None:
        lost = keys_of(fragile_raw, fragile_cluster.nodes[DOOMED].port)
        fragile_cluster.nodes[DOOMED].pause()
        await self.check_answers(fragile_store, lost)
        fragile_cluster.nodes[DOOMED].resume()
        await asyncio.to_thread(fragile_cluster.wait_until_ready)
        assert await fragile_store.get_many(KEYS) == VALUES

    async def test_an_unreachable_cluster_raises_before_the_deadline(
        self, fragile_cluster: RedisCluster, fragile_store: RedisStore
    ) -> None:
        fragile_cluster.pause()
        start = time.monotonic()
        answers = await asyncio.gather(*(self.answer(fragile_store, key) for key in KEYS))
        assert time.monotonic() - start < self.timeout + self.slack
        assert {type(each) for each in answers} == {StoreTimeoutError}
        fragile_cluster.resume()
        await asyncio.to_thread(fragile_cluster.wait_until_ready)
        assert await fragile_store.get_many(KEYS) == VALUES


async def test_the_first_calls_are_sent_to_the_right_nodes(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    before = redirections(raw_cluster)
    async with RedisStore(url=redis_cluster.urls) as store:
        await asyncio.gather(*(store.put(key, value) for key, value in zip(KEYS, VALUES, strict=True)))
    assert redirections(raw_cluster) == before


def redirections(raw: Any) -> int:
    """Return how often the nodes have answered MOVED."""
    errors = [raw.info("errorstats", target_nodes=node) for node in raw.get_primaries()]
    return sum(each.get("errorstat_MOVED", {"count": 0})["count"] for each in errors)


async def test_one_known_node_is_enough(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    async with RedisStore(url=redis_cluster.urls[2:]) as store:
        await store.put_many(KEYS, VALUES)
    assert min(sizes(raw_cluster)) > 0


async def test_a_known_node_may_be_down(redis_cluster: RedisCluster, raw_cluster: Any, unused_port: int) -> None:
    async with RedisStore(url=[f"redis://127.0.0.1:{unused_port}", *redis_cluster.urls]) as store:
        await store.put_many(KEYS, VALUES)
    assert min(sizes(raw_cluster)) > 0


async def test_a_url_of_a_server_outside_a_cluster_is_refused(url: str) -> None:
    store = RedisStore(url=[url.rpartition("/")[0]])
    with pytest.raises(StoreSetupError, match="not a cluster node"):
        await store.get("key")
    await store.close()


async def test_a_cluster_client_of_a_server_outside_a_cluster_is_refused(url: str) -> None:
    client = ClusterClient.from_url(url.rpartition("/")[0])
    with pytest.raises(StoreSetupError, match="not a cluster node"):
        await RedisStore(client=client).get("key")
    await client.aclose()
