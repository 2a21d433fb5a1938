"""Empty servers, and raw clients that inspect what they hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from key_value.aio.stores.redis import RedisStore
from redis import Redis
from redis.cluster import RedisCluster as RawCluster
from redis_cases import counter_of_commands
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio import RedisCluster as AsyncCluster
    from servers.redis import RedisServer
    from servers.redis_cluster import RedisCluster

# Not 0, which an application on the same server would use.
DATABASE = 9

# Commands that open a connection, and the one that reads the counters.
CONNECTING = frozenset(
    {"hello", "auth", "select", "client|setinfo", "client|setname", "client|maint_notifications", "info"}
)

RawRedis: Any = Redis  # annotated to return either plain values or awaitables


class StoreWithClient(RedisStore):
    """A store that also closes the clients passed to it."""

    def __init__(self, client: AsyncRedis | AsyncCluster, *others: AsyncRedis, **options: Any) -> None:
        super().__init__(client=client, **options)
        self._clients = (client, *others)

    @override
    async def close(self) -> None:
        await super().close()
        for client in self._clients:
            await client.aclose()


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return urlsplit(redis_server.url)._replace(path=f"/{DATABASE}").geturl()


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    with RawRedis.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[RedisStore]:
    assert raw.dbsize() == 0
    async with RedisStore(url=url) as store:
        yield store


@pytest.fixture
def commands_run(raw: Any) -> Callable[[], dict[str, int]]:
    """Count the commands that the server has run since the previous call."""
    return counter_of_commands(CONNECTING, raw)


@pytest.fixture
def private_raw(private_redis: RedisServer) -> Iterator[Any]:
    with RawRedis.from_url(private_redis.url) as client:
        yield client


@pytest.fixture(scope="session")
def cluster_client(redis_cluster: RedisCluster) -> Iterator[Any]:
    with RawCluster.from_url(redis_cluster.url) as client:
        yield client


@pytest.fixture
def raw_cluster(cluster_client: Any) -> Any:
    cluster_client.flushall(target_nodes=RawCluster.PRIMARIES)
    return cluster_client
