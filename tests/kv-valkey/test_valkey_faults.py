"""Faults and load that concern Valkey and its driver, beyond what the kit tests on every store."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.valkey import ValkeyStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.load import Load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable

    from servers.valkey import ValkeyServer

TIMEOUT = 2.0
# A busy machine may add to it.
LOAD = Load(100, seconds=TIMEOUT + 20.0)
# The driver looks for a server that was away every 0.2 seconds.
SOON = 60.0


@pytest.fixture
async def store(url: str, raw: Any) -> AsyncIterator[ValkeyStore]:
    assert raw.dbsize() == 0
    async with ValkeyStore.from_url(url) as store:
        yield store


async def serves_load(store: ValkeyStore) -> bool:
    deadline = time.monotonic() + SOON
    while True:
        try:
            await store.get("key")
            break
        except StoreConnectionError:
            assert time.monotonic() < deadline
    return await LOAD.is_served(store)


async def test_a_store_fails_in_time_when_its_server_is_killed_and_serves_after_the_restart(
    private_valkey: ValkeyServer,
) -> None:
    async with ValkeyStore.from_url(private_valkey.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_valkey.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_valkey.restart)
        assert await serves_load(store)


async def test_a_store_fails_in_time_when_its_server_freezes_and_serves_when_it_goes_on(
    private_valkey: ValkeyServer,
) -> None:
    async with ValkeyStore.from_url(private_valkey.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_valkey.pause):
            assert isinstance(error, StoreConnectionError)
        private_valkey.resume()
        assert await serves_load(store)


async def test_a_replica_is_a_connection_error(private_valkey: ValkeyServer, private_raw: Any) -> None:
    async with ValkeyStore.from_url(private_valkey.url) as store:
        private_raw.replicaof(private_valkey.host, private_valkey.port + 1)
        with pytest.raises(StoreConnectionError, match="the server is a replica"):
            await store.put("key", {"n": 1})
        private_raw.replicaof("NO", "ONE")
        await store.put("key", {"n": 1})


async def test_a_server_without_memory_is_not_a_connection_error(
    private_valkey: ValkeyServer, private_raw: Any
) -> None:
    async with ValkeyStore.from_url(private_valkey.url) as store:
        await store.put("key", {"n": 1})
        private_raw.config_set("maxmemory", 1)
        for call in (
            store.put("key", {"n": 2}),
            store.put_many(["key"], [{"n": 2}]),
            store.put_many(["key", "other"], [{}, {}], ttl=9),
            store.put_if_absent("other", {"n": 2}),
            store.setup(),
        ):
            with pytest.raises(KeyValueStoreError, match="out of memory") as refusal:
                await call
            assert not isinstance(refusal.value, StoreConnectionError)
        assert await store.get_many(["key", "other"]) == [{"n": 1}, None]


async def test_a_server_without_connections_is_a_connection_error(
    private_valkey: ValkeyServer, private_raw: Any
) -> None:
    private_raw.config_set("maxclients", 1)
    store = ValkeyStore.from_url(private_valkey.url)
    with pytest.raises(StoreConnectionError, match="no connection to spare"):
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


async def test_a_cancelled_call_leaves_no_answer_to_a_later_one(store: ValkeyStore) -> None:
    keys = [f"key {number}" for number in range(300)]
    await store.put_many(keys, [{"key": key} for key in keys])
    for _ in range(3):
        await cancel_at_random([store.get(key) for key in keys])
        await cancel_at_random([store.put(key, {"key": key}, ttl=60) for key in keys])
        await cancel_at_random([store.put_many([key], [{"key": key}], ttl=60) for key in keys])
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    assert await store.get_many(keys) == [{"key": key} for key in keys]


async def test_a_call_that_timed_out_leaves_no_answer_to_a_later_one(raw: Any) -> None:
    async with proxy_to(raw) as proxy, ValkeyStore(host=proxy.host, port=proxy.port, timeout=2) as store:
        await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
        proxy.delay(60)
        with pytest.raises(StoreTimeoutError):
            await store.get("one")
        proxy.pass_through()
        assert [await store.get("two"), await store.get("one")] == [{"n": 2}, {"n": 1}]


async def test_a_thousand_calls_share_one_connection(store: ValkeyStore, raw: Any) -> None:
    before = len(raw.client_list())
    keys = [f"key {number}" for number in range(1000)]
    await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    assert len(raw.client_list()) == before


@asynccontextmanager
async def proxy_to(raw: Any) -> AsyncGenerator[FaultProxy]:
    options = raw.connection_pool.connection_kwargs
    async with FaultProxy(options["host"], options["port"]) as proxy:
        yield proxy


async def test_a_big_batch_has_more_time(raw: Any) -> None:
    keys = [f"key {number}" for number in range(3000)]
    async with proxy_to(raw) as proxy, ValkeyStore(host=proxy.host, port=proxy.port, timeout=3) as store:
        await store.put_many(keys, [{"n": 1}] * 3000)
        proxy.delay(4)
        assert None not in await store.get_many(keys)
        proxy.pass_through()


async def test_a_setup_error_is_no_connection_error(url: str) -> None:
    store = ValkeyStore.from_url(f"{url.rpartition('/')[0]}/12345")
    with pytest.raises(StoreSetupError, match="no database of this number"):
        await store.setup()
    await store.close()


async def test_a_connection_that_cannot_be_made_in_time_is_told_and_cancels_nothing(raw: Any) -> None:
    async with proxy_to(raw) as proxy:
        proxy.black_hole()
        store = ValkeyStore(host=proxy.host, port=proxy.port, timeout=0.2)
        outcomes = await asyncio.gather(*(store.get("key") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, StoreConnectionError) for outcome in outcomes)
        proxy.pass_through()
        await store.close()


async def test_a_task_that_is_cancelled_stays_cancelled(private_valkey: ValkeyServer) -> None:
    async with ValkeyStore.from_url(private_valkey.url) as store:
        private_valkey.pause()
        task = asyncio.create_task(store.get("key"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        private_valkey.resume()
        assert await store.get("key") is None
