"""Faults, load and lifetimes specific to Redis and its driver, beyond the kit's tests for every store."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from fault_cases import (
    KillCases,
    OutageCases,
    RestartCases,
    check_cancelled_calls_leave_no_answers,
    check_timed_out_calls_leave_no_answers,
)
from key_value.aio.errors import DeserializationError, KeyValueStoreError
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing.load import Load
from lifetimes import check_loops_one_after_another
from redis.asyncio import Redis
from redis_cases import CommandCases, RedisOutageCases, connections_named, proxy_to
from round_trips import round_trips_through
from typing_extensions import override

from .conftest import StoreWithClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from servers.redis import RedisServer

Client: Any = Redis  # with untyped options

TIMEOUT = 2.0
# Allow for a busy machine.
LOAD = Load(200, seconds=TIMEOUT + 20.0)


@pytest.fixture
async def client(url: str) -> AsyncIterator[Any]:
    async with Client.from_url(url) as client:
        yield client


# Server outages


class PrivateRedisCases(OutageCases[RedisStore]):
    load = LOAD
    timeout = TIMEOUT

    @pytest.fixture
    @override
    def private_server(self, private_redis: RedisServer) -> RedisServer:
        return private_redis

    @override
    def open(self, server: RedisServer, **options: Any) -> RedisStore:
        return RedisStore(url=server.url, **options)


class TestRedisStoreInOutages(PrivateRedisCases, RedisOutageCases[RedisStore], RestartCases[RedisStore]):
    # Redis may close the connection before the client reads the error.
    reason_without_connections = "cannot be reached"


class TestRedisStoreWithClientInOutages(PrivateRedisCases, KillCases[RedisStore]):
    @override
    def open(self, server: RedisServer, **options: Any) -> RedisStore:
        return StoreWithClient(Redis(host=server.host, port=server.port), **options)


async def test_a_connection_reset_while_idle_is_reopened(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port) as store:
        assert await LOAD.is_served(store)
        proxy.reset()
        # Enough turns for both ends of the connection to notice, however slow the event loop is.
        for _ in range(20):
            await asyncio.sleep(0.002)
        proxy.pass_through()
        assert await LOAD.is_served(store)


# Cancellation


async def test_a_cancelled_call_leaves_no_answer_for_a_later_call(store: RedisStore) -> None:
    await check_cancelled_calls_leave_no_answers(store)


async def test_a_cancelled_call_leaves_no_answer_in_a_client_that_was_passed_in(client: Any, raw: Any) -> None:
    assert raw.dbsize() == 0
    await check_cancelled_calls_leave_no_answers(RedisStore(client=client))


async def test_a_timed_out_call_leaves_no_answer_for_a_later_call(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port, timeout=2) as store:
        await check_timed_out_calls_leave_no_answers(proxy, store)


async def test_an_error_reply_leaves_the_connection_usable(store: RedisStore, raw: Any) -> None:
    await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
    raw.hset("default_collection::hash", "field", "text")
    for _ in range(3):
        with pytest.raises((KeyValueStoreError, DeserializationError)):
            await store.get("hash")
        assert [await store.get("one"), await store.get("two")] == [{"n": 1}, {"n": 2}]


# Load and lifetimes


async def test_one_connection_serves_a_thousand_calls(url: str, raw: Any) -> None:
    async with RedisStore(url=f"{url}?client_name=limited", max_connections=10) as store:
        assert await Load(1000, seconds=60.0).is_served(store)
        assert connections_named(raw, "limited") == 1


async def test_a_client_with_a_small_pool_serves_the_load(url: str, raw: Any) -> None:
    assert raw.dbsize() == 0
    async with Client.from_url(url, max_connections=3) as client:
        assert await LOAD.is_served(RedisStore(client=client))


async def test_a_client_with_a_single_connection_serves_the_load(url: str, raw: Any) -> None:
    assert raw.dbsize() == 0
    async with Client.from_url(url, single_connection_client=True) as client:
        assert await LOAD.is_served(RedisStore(client=client))


async def test_a_client_that_was_passed_in_is_never_closed(client: Any) -> None:
    before = await client.client_id()
    async with RedisStore(client=client) as store:
        await store.put("key", {"n": 1})
    await store.close()
    assert await client.client_id() == before
    assert await store.get("key") == {"n": 1}


async def test_close_closes_every_connection_and_the_next_use_opens_one(url: str, raw: Any) -> None:
    store = RedisStore(url=f"{url}?client_name=closing")
    assert await LOAD.is_served(store)
    await store.close()
    assert connections_named(raw, "closing") == 0
    assert await store.get("key 1") == {"key": "key 1"}
    assert connections_named(raw, "closing") == 1
    await store.close()


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_leave_no_connection_open(url: str, raw: Any, ending: str) -> None:
    beginning = f"""
from key_value.aio.stores.redis import RedisStore
store = RedisStore(url={url!r} + "?client_name=loops")
"""
    await check_loops_one_after_another(beginning, ending)
    assert connections_named(raw, "loops") == 0


# Round trips


class TestRedisStoreCommands(CommandCases):
    """On a single server."""


async def test_a_batch_with_ttl_is_one_transaction(
    store: RedisStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put_many([f"key {number}" for number in range(100)], [{"n": 1}] * 100, ttl=60)
    assert commands_run() == {"multi": 1, "set": 100, "exec": 1}


async def test_each_call_is_one_round_trip(raw: Any) -> None:
    keys, values = [f"key {number}" for number in range(500)], [{"n": 1}] * 500
    calls: list[Callable[[RedisStore], Awaitable[object]]] = [
        lambda store: store.put("key", {"n": 1}, ttl=60),
        lambda store: store.put_many(keys, values),
        lambda store: store.put_many(keys, values, ttl=60),
        lambda store: store.get_many(keys),
        lambda store: store.delete_many(keys),
    ]
    async with proxy_to(raw) as proxy:
        stores = partial(RedisStore, host=proxy.host, port=proxy.port, timeout=60)
        assert await round_trips_through(proxy, stores, calls) == [1] * 5
