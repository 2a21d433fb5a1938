"""Faults, load and lifetimes that concern Redis and its driver, beyond what the kit tests on every store."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.load import Load
from lifetimes import check_loops_one_after_another
from redis.asyncio import Redis
from round_trips import ROUND_TRIP, round_trips_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from servers.redis import RedisServer

Client: Any = Redis  # which leaves its options untyped

TIMEOUT = 2.0
# A busy machine may add to it.
LOAD = Load(200, seconds=TIMEOUT + 20.0)


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[RedisStore]:
    assert raw.dbsize() == 0
    async with RedisStore(url=url) as store:
        yield store


@pytest.fixture
async def client(url: str) -> AsyncIterator[Any]:
    async with Client.from_url(url) as client:
        yield client


# Servers that die


async def test_a_store_fails_in_time_when_its_server_is_killed_and_serves_after_the_restart(
    private_redis: RedisServer,
) -> None:
    async with RedisStore(url=private_redis.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_redis.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_redis.restart)
        assert await LOAD.is_served(store)


async def test_a_store_fails_in_time_when_its_server_freezes_and_serves_when_it_goes_on(
    private_redis: RedisServer,
) -> None:
    async with RedisStore(url=private_redis.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_redis.pause):
            assert isinstance(error, StoreTimeoutError)
        private_redis.resume()
        assert await LOAD.is_served(store)


async def test_a_store_with_a_client_fails_in_time_when_the_server_is_killed_and_serves_after_the_restart(
    private_redis: RedisServer,
) -> None:
    async with Redis(host=private_redis.host, port=private_redis.port) as client:
        store = RedisStore(client=client, timeout=TIMEOUT)
        for error in await LOAD.errors_after(store, private_redis.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_redis.restart)
        assert await LOAD.is_served(store)


async def test_the_first_use_after_a_restart_finds_no_dead_connection(private_redis: RedisServer) -> None:
    async with RedisStore(url=private_redis.url) as store:
        assert await LOAD.is_served(store)
        await asyncio.to_thread(private_redis.restart)
        assert await LOAD.is_served(store)


async def test_a_connection_that_was_reset_while_idle_is_opened_again(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port) as store:
        assert await LOAD.is_served(store)
        proxy.reset()
        # As often as it takes until both ends of the connection know, however late the event loop is.
        for _ in range(20):
            await asyncio.sleep(0.002)
        proxy.pass_through()
        assert await LOAD.is_served(store)


@asynccontextmanager
async def proxy_to(raw: Any) -> AsyncGenerator[FaultProxy]:
    options = raw.connection_pool.connection_kwargs
    async with FaultProxy(options["host"], options["port"]) as proxy:
        yield proxy


# Answers of the server


async def test_a_replica_is_a_connection_error(private_redis: RedisServer, private_raw: Any) -> None:
    async with RedisStore(url=private_redis.url) as store:
        private_raw.replicaof(private_redis.host, private_redis.port + 1)
        with pytest.raises(StoreConnectionError):
            await store.put("key", {"n": 1})
        private_raw.replicaof("NO", "ONE")
        await store.put("key", {"n": 1})


async def test_a_server_without_memory_is_not_a_connection_error(private_redis: RedisServer, private_raw: Any) -> None:
    async with RedisStore(url=private_redis.url) as store:
        await store.put("key", {"n": 1})
        private_raw.config_set("maxmemory", 1)
        for put in (
            store.put("key", {"n": 2}),
            store.put_many(["key"], [{"n": 2}]),
            store.put_many(["key"], [{}], ttl=9),
        ):
            with pytest.raises(KeyValueStoreError) as refusal:
                await put
            assert not isinstance(refusal.value, (StoreConnectionError, StoreSetupError))
        assert await store.get("key") == {"n": 1}


async def test_a_server_without_connections_is_a_connection_error(private_redis: RedisServer, private_raw: Any) -> None:
    private_raw.config_set("maxclients", 1)
    store = RedisStore(url=private_redis.url)
    with pytest.raises(StoreConnectionError):
        await store.get("key")
    private_raw.config_set("maxclients", 100)
    assert await store.get("key") is None
    await store.close()


# Cancellation


async def cancel_at_random(calls: list[Awaitable[object]]) -> None:
    chance = random.Random(7)  # noqa: S311 — the same every time
    tasks = [asyncio.ensure_future(call) for call in calls]
    while any(not task.done() for task in tasks):
        for task in chance.sample(tasks, 50):
            task.cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.001]))


async def check_cancelled_calls_leave_no_answers(store: RedisStore) -> None:
    keys = [f"key {number}" for number in range(500)]
    await store.put_many(keys, [{"key": key} for key in keys])
    for _ in range(3):
        await cancel_at_random([store.get(key) for key in keys])
        await cancel_at_random([store.get_many([key, "absent"]) for key in keys])
        await cancel_at_random([store.put(key, {"key": key}, ttl=60) for key in keys])
        await cancel_at_random([store.put_many([key], [{"key": key}], ttl=60) for key in keys])
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    assert await store.get_many(keys) == [{"key": key} for key in keys]


async def test_a_cancelled_call_leaves_no_answer_to_a_later_one(store: RedisStore) -> None:
    await check_cancelled_calls_leave_no_answers(store)


async def test_a_cancelled_call_leaves_no_answer_in_a_client(client: Any, raw: Any) -> None:
    assert raw.dbsize() == 0
    await check_cancelled_calls_leave_no_answers(RedisStore(client=client))


async def test_a_call_that_timed_out_leaves_no_answer_to_a_later_one(raw: Any) -> None:
    async with proxy_to(raw) as proxy, RedisStore(host=proxy.host, port=proxy.port, timeout=2) as store:
        await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
        proxy.delay(60)
        with pytest.raises(StoreTimeoutError):
            await store.get("one")
        proxy.pass_through()
        assert [await store.get("two"), await store.get("one")] == [{"n": 2}, {"n": 1}]


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
        keys = [f"key {number}" for number in range(1000)]
        await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
        assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
        assert connections_named(raw, "limited") == 1


def connections_named(raw: Any, name: str) -> int:
    return sum(client["name"] == name for client in raw.client_list())


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


async def test_each_operation_is_one_command(store: RedisStore, commands_run: Callable[[], dict[str, int]]) -> None:
    await store.put("key", {"n": 1})
    assert commands_run() == {"set": 1}
    await store.put("key", {"n": 1}, ttl=60)
    assert commands_run() == {"set": 1}
    await store.get("key")
    await store.ttl("key")
    assert commands_run() == {"get": 2}
    await store.delete("key")
    assert commands_run() == {"unlink": 1}


async def test_each_batch_is_one_command(store: RedisStore, commands_run: Callable[[], dict[str, int]]) -> None:
    keys = [f"key {number}" for number in range(100)]
    await store.put_many(keys, [{"n": 1}] * 100)
    assert commands_run() == {"mset": 1}
    await store.get_many(keys)
    await store.ttl_many(keys)
    assert commands_run() == {"mget": 2}
    await store.delete_many(keys)
    assert commands_run() == {"unlink": 1}


async def test_a_batch_with_ttl_is_one_transaction(
    store: RedisStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put_many([f"key {number}" for number in range(100)], [{"n": 1}] * 100, ttl=60)
    assert commands_run() == {"multi": 1, "set": 100, "exec": 1}


async def test_no_command_is_sent_for_an_empty_batch(
    store: RedisStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert commands_run() == {}


async def test_each_call_is_one_round_trip(raw: Any) -> None:
    keys, values = [f"key {number}" for number in range(500)], [{"n": 1}] * 500
    calls: list[Callable[[RedisStore], Awaitable[object]]] = [
        lambda store: store.put("key", {"n": 1}, ttl=60),
        lambda store: store.put_many(keys, values),
        lambda store: store.put_many(keys, values, ttl=60),
        lambda store: store.get_many(keys),
        lambda store: store.delete_many(keys),
    ]
    async with proxy_to(raw) as proxy, AsyncExitStack() as stack:
        stores = [RedisStore(host=proxy.host, port=proxy.port, timeout=60) for _ in calls]
        for store in stores:
            await stack.enter_async_context(store)
            await store.get("key")
        proxy.delay(ROUND_TRIP)
        assert await round_trips_of(*(call(store) for call, store in zip(calls, stores, strict=True))) == [1] * 5
