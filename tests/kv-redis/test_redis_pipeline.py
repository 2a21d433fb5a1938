"""Commands sent and not sent on connections shared by many callers."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.redis import RedisStore
from redis_cases import connections_named, proxy_to

from .conftest import DATABASE

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from key_value.aio.testing import FaultProxy
    from servers.redis import RedisServer
    from servers.redis_cluster import RedisCluster

NAME = "pipeline"
STORED = "default_collection::key"


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[RedisStore]:
    assert raw.dbsize() == 0
    async with RedisStore(url=f"{url}?client_name={NAME}", timeout=60) as store:
        yield store


@asynccontextmanager
async def store_behind_proxy(raw: Any, timeout: float = 5.0) -> AsyncGenerator[tuple[RedisStore, FaultProxy]]:
    async with proxy_to(raw) as proxy:
        store = RedisStore(host=proxy.host, port=proxy.port, db=DATABASE, timeout=timeout)
        try:
            yield store, proxy
        finally:
            await store.close()


# Calls that end before they are sent


async def test_a_put_cancelled_before_it_is_sent_is_not_executed(store: RedisStore, raw: Any) -> None:
    put = asyncio.ensure_future(store.put("key", {"n": 1}))
    await asyncio.sleep(0)
    put.cancel()
    await asyncio.gather(put, return_exceptions=True)
    assert await store.get("key") is None
    assert raw.exists(STORED) == 0


async def test_a_put_that_times_out_before_it_is_sent_is_not_executed(raw: Any) -> None:
    async with store_behind_proxy(raw, timeout=2) as (store, proxy):
        proxy.black_hole()
        with pytest.raises(StoreTimeoutError, match=r"within 2 s"):
            await store.put("key", {"n": 1})
        proxy.pass_through()
        assert await store.get("key") is None


async def test_a_call_that_was_sent_is_not_retried(raw: Any, commands_run: Callable[[], dict[str, int]]) -> None:
    async with store_behind_proxy(raw) as (store, proxy):
        await store.get("key")
        commands_run()
        proxy.drop_after(0)
        with pytest.raises(StoreConnectionError, match="the server closed the connection"):
            await store.put("key", {"n": 1})
        proxy.pass_through()
        assert await store.get("key") in (None, {"n": 1})
        assert commands_run().get("set", 0) <= 1


# Connections that fail


async def test_a_connection_that_stops_answering_is_replaced(raw: Any) -> None:
    async with store_behind_proxy(raw, timeout=2) as (store, proxy):
        await store.put("key", {"n": 1})
        proxy.black_hole()
        with pytest.raises(StoreTimeoutError):
            await store.get("key")
        # The swallowed bytes are lost: only a new connection is answered.
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}


async def test_a_slow_answer_to_one_call_leaves_the_answers_of_other_calls_intact(private_redis: RedisServer) -> None:
    async with (
        RedisStore(url=private_redis.url, timeout=60) as store,
        RedisStore(url=private_redis.url, timeout=2) as hasty,
    ):
        await store.put("key", {"n": 1})
        await hasty.get("key")
        private_redis.pause()
        first = asyncio.ensure_future(store.get("key"))
        with pytest.raises(StoreTimeoutError):
            await hasty.get("key")
        private_redis.resume()
        assert await first == {"n": 1}
        assert await hasty.get("key") == {"n": 1}


async def test_callers_do_not_flood_an_unreachable_server_with_connection_attempts() -> None:
    attempts = 0

    def count(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    store = RedisStore(port=server.sockets[0].getsockname()[1])
    end = time.monotonic() + 1.0

    async def insist() -> None:
        while time.monotonic() < end:
            with pytest.raises(StoreConnectionError):
                await store.get("key")

    await asyncio.gather(*(insist() for _ in range(50)))
    # One at once, and then after 10, 20, 40, 80, 160 and 250 ms, each up to a half sooner.
    assert attempts < 20
    await store.close()
    server.close()
    await server.wait_closed()


# Large and small values


async def test_a_large_value_opens_further_connections_up_to_the_limit(store: RedisStore, raw: Any) -> None:
    await store.put("key", {"n": 1})
    assert connections_named(raw, NAME) == 1
    big = asyncio.ensure_future(store.put("big", {"text": "x" * 20_000_000}))
    await asyncio.sleep(0)
    assert await store.get("key") == {"n": 1}
    await big
    assert 1 < connections_named(raw, NAME) <= 8


async def test_many_concurrent_large_values_arrive_intact(store: RedisStore) -> None:
    keys = [f"key {number}" for number in range(30)]
    await asyncio.gather(*(store.put(key, {"key": key, "text": key * 200_000}) for key in keys))
    for key, value in zip(keys, await asyncio.gather(*map(store.get, keys)), strict=True):
        assert value == {"key": key, "text": key * 200_000}


# Transactions and scripts


async def test_a_transaction_is_atomic_among_concurrent_calls(store: RedisStore) -> None:
    keys = ["one", "two", "three"]

    async def write(number: int) -> None:
        await store.put_many(keys, [{"n": number}] * 3, ttl=60)

    async def read() -> None:
        values = await store.get_many(keys)
        assert values[0] == values[1] == values[2]

    for number in range(20):
        await asyncio.gather(*(write(each) for each in range(number, number + 5)), *(read() for _ in range(5)))


async def test_a_transaction_refused_by_the_server_changes_nothing(store: RedisStore, raw: Any) -> None:
    await store.put_many(["one", "two"], [{"n": 1}] * 2, ttl=60)
    limit = raw.config_get("maxmemory")["maxmemory"]
    raw.config_set("maxmemory", 1)
    try:
        with pytest.raises(Exception, match="out of memory"):
            await store.put_many(["one", "two"], [{"n": 2}] * 2, ttl=60)
    finally:
        raw.config_set("maxmemory", limit)
    assert await store.get_many(["one", "two"]) == [{"n": 1}] * 2


async def test_a_script_is_one_round_trip_once_the_server_has_cached_it(
    store: RedisStore, raw: Any, commands_run: Callable[[], dict[str, int]]
) -> None:
    raw.script_flush()
    commands_run()
    assert await store.put_if_version("key", {"n": 1}, None) is True
    assert commands_run() == {"evalsha": 1, "eval": 1, "get": 1, "set": 1}
    assert await store.put_if_version("key", {"n": 2}, None) is False
    assert commands_run() == {"evalsha": 1, "get": 1}


async def test_a_script_runs_on_the_node_that_holds_its_key(redis_cluster: RedisCluster, raw_cluster: Any) -> None:
    for node in raw_cluster.get_primaries():
        raw_cluster.get_redis_connection(node).script_flush()
    async with RedisStore(url=redis_cluster.urls) as store:
        keys = [f"key {number}" for number in range(20)]
        assert all(await asyncio.gather(*(store.put_if_version(key, {"n": 1}, None) for key in keys)))
        assert not any(await asyncio.gather(*(store.put_if_version(key, {"n": 1}, None) for key in keys)))
    assert {raw_cluster.get_node_from_key(f"default_collection::{key}").name for key in keys} == {
        node.name for node in raw_cluster.get_primaries()
    }
