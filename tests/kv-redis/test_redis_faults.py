"""Faults, load and lifetimes that concern Redis and its driver, beyond what the kit tests on every store."""

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

Client: Any = Redis  # which leaves its options untyped

TIMEOUT = 2.0
# A busy machine may add to it.
LOAD = Load(200, seconds=TIMEOUT + 20.0)


@pytest.fixture
async def client(url: str) -> AsyncIterator[Any]:
    async with Client.from_url(url) as client:
        yield client


# Servers that die


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
    # Redis may close the connection before its error is read.
    reason_without_connections = "cannot be reached"


class TestRedisStoreWithClientInOutages(PrivateRedisCases, KillCases[RedisStore]):
    @override
    def open(self, server: RedisServer, **options: Any) -> RedisStore:
        return StoreWithClient(Redis(host=server.host, port=server.port), **options)


async def test_a_connection_that_was_reset_while_idle_is_opened_again(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port) as store:
        assert await LOAD.is_served(store)
        proxy.reset()
        # As often as it takes until both ends of the connection know, however late the event loop is.
        for _ in range(20):
            await asyncio.sleep(0.002)
        proxy.pass_through()
        assert await LOAD.is_served(store)


# Cancellation


async def test_a_cancelled_call_leaves_no_answer_to_a_later_one(store: RedisStore) -> None:
    await check_cancelled_calls_leave_no_answers(store)


async def test_a_cancelled_call_leaves_no_answer_in_a_client(client: Any, raw: Any) -> None:
    assert raw.dbsize() == 0
    await check_cancelled_calls_leave_no_answers(RedisStore(client=client))


async def test_a_call_that_timed_out_leaves_no_answer_to_a_later_one(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port, timeout=2) as store:
        await check_timed_out_calls_leave_no_answers(proxy, store)


async def test_an_answer_that_is_an_error_leaves_the_connection_usable(store: RedisStore, raw: Any) -> None:
    await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
    raw.hset("default_collection::hash", "field", "text")
    for _ in range(3):
        with pytest.raises((KeyValueStoreError, DeserializationError)):
            await store.get("hash")
        assert [await store.get("one"), await store.get("two")] == [{"n": 1}, {"n": 2}]


# Load and lifetimes


async def test_one_connection_carries_a_thousand_calls(url: str, raw: Any) -> None:
    async with RedisStore(url=f"{url}?client_name=limited", max_connections=10) as store:
        assert await Load(1000, seconds=60.0).is_served(store)
        assert connections_named(raw, "limited") == 1


async def test_a_small_pool_of_a_client_carries_the_load(url: str, raw: Any) -> None:
    assert raw.dbsize() == 0
    async with Client.from_url(url, max_connections=3) as client:
        assert await LOAD.is_served(RedisStore(client=client))


async def test_a_client_of_a_single_connection_carries_the_load(url: str, raw: Any) -> None:
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


async def test_closing_closes_every_connection_and_the_next_use_opens_one(url: str, raw: Any) -> None:
    store = RedisStore(url=f"{url}?client_name=closing")
    assert await LOAD.is_served(store)
    await store.close()
    assert connections_named(raw, "closing") == 0
    assert await store.get("key 1") == {"key": "key 1"}
    assert connections_named(raw, "closing") == 1
    await store.close()


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_event_loops_one_after_another_leave_nothing_open(url: str, raw: Any, ending: str) -> None:
    beginning = f"""
from key_value.aio.stores.redis import RedisStore
store = RedisStore(url={url!r} + "?client_name=loops")
"""
    await check_loops_one_after_another(beginning, ending)
    assert connections_named(raw, "loops") == 0


# Round trips


class TestRedisStoreCommands(CommandCases):
    """On one server."""


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
