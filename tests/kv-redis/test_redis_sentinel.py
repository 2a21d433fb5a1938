"""A master discovered through the URLs of its Sentinels."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import eventually
from redis import Redis
from servers.redis import RedisServer
from servers.redis_sentinel import RedisSentinel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import RunServer

CALLERS = 200
TIMEOUT = 2.0
# Allow for a busy machine.
SLACK = 20.0
RawRedis: Any = Redis  # annotated to return either plain values or awaitables


def urls_of(service: RedisSentinel) -> list[str]:
    return [f"redis://{service.host}:{service.port}"]


@pytest.fixture(scope="module")
def replicated(run_server: RunServer) -> Iterator[RedisSentinel]:
    """A master with a replica, both monitored by Sentinel."""
    with run_server(RedisSentinel(private=True)) as service, run_server(RedisServer(private=True)) as replica:
        with RawRedis.from_url(replica.url) as raw:
            raw.replicaof(service.master.host, service.master.port)
        yield service


@pytest.fixture
def sentinel(replicated: RedisSentinel) -> Iterator[Any]:
    with RawRedis(host=replicated.host, port=replicated.port) as raw:
        # By default Sentinel looks for replicas and checks roles only every ten seconds.
        raw.execute_command("SENTINEL", "DEBUG", "info-period", "100")
        yield raw


@pytest.fixture
def master(replicated: RedisSentinel) -> Iterator[Any]:
    with RawRedis.from_url(replicated.master.url) as raw:
        yield raw


def test_a_repr_shows_the_service_and_the_sentinels() -> None:
    urls = ["redis://user:hunter2@a:26379", "redis://b:26379"]
    store = RedisStore(url=urls, sentinel="mymaster", username="user")
    assert repr(store) == "RedisStore(mymaster at redis://a:26379/0,redis://b:26379/0)"


def test_a_service_name_without_a_sentinel_url_is_refused() -> None:
    with pytest.raises(ValueError, match="pass the url of a Sentinel"):
        RedisStore(sentinel="mymaster")


async def test_a_database_of_the_master_may_be_selected(redis_sentinel: RedisSentinel) -> None:
    async with RedisStore(url=urls_of(redis_sentinel), sentinel=redis_sentinel.service_name, db=5) as store:
        await store.put("key", {"n": 1})
    with RawRedis(host=redis_sentinel.master.host, port=redis_sentinel.master.port, db=5) as raw:
        assert raw.delete("default_collection::key") == 1


async def test_a_sentinel_that_is_down_is_skipped(redis_sentinel: RedisSentinel, unused_port: int) -> None:
    urls = [f"redis://127.0.0.1:{unused_port}", *urls_of(redis_sentinel)]
    for _ in range(5):
        async with RedisStore(url=urls, sentinel=redis_sentinel.service_name) as store:
            assert await store.get("absent") is None


async def test_a_slow_sentinel_is_awaited_when_it_is_the_only_one(redis_sentinel: RedisSentinel) -> None:
    async with FaultProxy(redis_sentinel.host, redis_sentinel.port) as proxy:
        proxy.delay(1)
        url = f"redis://{proxy.host}:{proxy.port}"
        async with RedisStore(url=[url], sentinel=redis_sentinel.service_name, timeout=60) as store:
            assert await store.get("absent") is None


async def test_a_service_unknown_to_every_sentinel_is_reported(redis_sentinel: RedisSentinel) -> None:
    store = RedisStore(url=urls_of(redis_sentinel), sentinel="unknown")
    with pytest.raises(StoreConnectionError, match="no Sentinel that answers knows a running master of this name"):
        await store.setup()
    await store.close()


async def test_calls_during_a_failover_meet_the_deadline_and_the_store_recovers(
    replicated: RedisSentinel, sentinel: Any, master: Any
) -> None:
    service = replicated.service_name
    store = RedisStore(url=urls_of(replicated), sentinel=service, timeout=TIMEOUT)
    outcomes: Counter[str] = Counter()
    done = asyncio.Event()

    async def use(key: str) -> None:
        while not done.is_set():
            start = time.monotonic()
            try:
                await store.put(key, {"key": key})
                outcomes["answered"] += 1
            except StoreConnectionError:
                outcomes["failed"] += 1
            assert time.monotonic() - start < TIMEOUT + SLACK
            await asyncio.sleep(0.01)

    async def has_replica() -> bool:
        return [replica["master-link-status"] for replica in sentinel.sentinel_slaves(service)] == ["ok"]

    async def has_failed_over() -> bool:
        # Sentinel demotes the old master only after some seconds; writes it accepts until then are lost.
        return master.info("replication")["role"] == "slave"

    async def serves() -> bool:
        before = outcomes["answered"]
        await asyncio.sleep(0.1)
        return outcomes["answered"] > before

    assert await eventually(has_replica, within=60)
    users = [asyncio.create_task(use(f"key {number}")) for number in range(CALLERS)]
    assert await eventually(serves, within=60)
    sentinel.sentinel_failover(service)
    assert await eventually(has_failed_over, within=120)
    assert await eventually(serves, within=60)
    done.set()
    await asyncio.gather(*users)
    host, port = sentinel.sentinel_get_master_addr_by_name(service)
    await store.put("key", {"n": 1})
    with RawRedis(host=host, port=port) as raw:
        assert raw.info("replication")["role"] == "master"
        assert raw.delete("default_collection::key") == 1
    await store.close()
