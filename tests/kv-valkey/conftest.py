"""Empty servers, and raw clients that inspect what they hold: redis-py, not the store's own driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from glide import GlideClientConfiguration, GlideClusterClientConfiguration, NodeAddress
from key_value.aio.stores.valkey import ValkeyStore, diagnosis
from redis import Redis
from redis.cluster import RedisCluster as RawCluster
from redis_cases import counter_of_commands

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from servers.valkey import ValkeyServer
    from servers.valkey_cluster import ValkeyCluster

# Not 0, which an application on the same server would use.
DATABASE = 9

# Commands that open a connection, and the one that reads the counters.
CONNECTING = frozenset(
    {"hello", "auth", "select", "client|setinfo", "client|setname", "info", "client|id", "cluster|slots", "readonly"}
)

RawValkey: Any = Redis  # annotated to return either plain values or awaitables


def as_redis(url: str) -> str:
    return url.replace("valkey", "redis", 1)


def address_in(url: str) -> NodeAddress:
    place = urlsplit(url)
    return NodeAddress(str(place.hostname), int(place.port or 0))


@pytest.fixture
def url(valkey_server: ValkeyServer) -> str:
    return urlsplit(valkey_server.url)._replace(path=f"/{DATABASE}").geturl()


@pytest.fixture
def config(url: str) -> GlideClientConfiguration:
    return GlideClientConfiguration([address_in(url)], database_id=DATABASE, request_timeout=5000)


@pytest.fixture
def cluster_config(valkey_cluster: ValkeyCluster) -> GlideClusterClientConfiguration:
    return GlideClusterClientConfiguration([*map(address_in, valkey_cluster.urls)], request_timeout=5000)


@pytest.fixture
def patient_diagnosis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extend the limit of one second that a store allows for diagnosing why it cannot reach its server."""
    monkeypatch.setattr(diagnosis, "_TIMEOUT_SECONDS", 5)


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    with RawValkey.from_url(as_redis(url)) as client:
        client.flushdb()
        yield client


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[ValkeyStore]:
    assert raw.dbsize() == 0
    async with ValkeyStore.from_url(url) as store:
        yield store


@pytest.fixture
def commands_run(raw: Any) -> Callable[[], dict[str, int]]:
    """Count the commands that the server has run since the previous call."""
    return counter_of_commands(CONNECTING, raw)


@pytest.fixture
def private_raw(private_valkey: ValkeyServer) -> Iterator[Any]:
    with RawValkey.from_url(as_redis(private_valkey.url)) as client:
        yield client


@pytest.fixture(scope="session")
def cluster_client(valkey_cluster: ValkeyCluster) -> Iterator[Any]:
    with RawCluster.from_url(as_redis(valkey_cluster.url)) as client:
        yield client


@pytest.fixture
def raw_cluster(cluster_client: Any) -> Any:
    cluster_client.flushall(target_nodes=RawCluster.PRIMARIES)
    return cluster_client


@pytest.fixture
def cluster_commands_run(raw_cluster: Any) -> Callable[[], dict[str, int]]:
    return counter_of_commands(
        CONNECTING, *(raw_cluster.get_redis_connection(node) for node in raw_cluster.get_primaries())
    )
