"""Servers with nothing stored, and the raw clients that look into them."""

from __future__ import annotations

import socket
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.cluster import RedisCluster as RawCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from servers.redis import RedisServer
    from servers.redis_cluster import RedisCluster

# Not 0, which an application on the same server would use.
DATABASE = 9

# What a client runs to open a connection, and what it takes to ask.
CONNECTING = frozenset(
    {"hello", "auth", "select", "client|setinfo", "client|setname", "client|maint_notifications", "info"}
)

RawRedis: Any = Redis  # which types its answers as those of the sync or of the async client


@pytest.fixture
def url(redis_server: RedisServer) -> str:
    return urlsplit(redis_server.url)._replace(path=f"/{DATABASE}").geturl()


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    with RawRedis.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def commands_run(raw: Any) -> Callable[[], dict[str, int]]:
    """Gives the commands that the server has run since it was last asked, and how often."""
    seen: Counter[str] = Counter()

    def since_last() -> dict[str, int]:
        statistics = raw.info("commandstats")
        calls = Counter({name.removeprefix("cmdstat_"): each["calls"] for name, each in statistics.items()})
        new = calls - seen
        seen.update(new)
        return {name: count for name, count in new.items() if name not in CONNECTING}

    since_last()
    return since_last


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


@pytest.fixture
def unused_port() -> Iterator[int]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
