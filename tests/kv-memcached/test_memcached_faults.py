"""Faults, load and lifetimes that concern Memcached and its connections, beyond what the kit tests on every store."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.memcached import MemcachedStore, connection
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import eventually
from key_value.aio.testing.load import Load
from lifetimes import check_loops_one_after_another
from round_trips import ROUND_TRIP, round_trips_of
from servers.memcached import MemcachedServer
from workspace import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from tests.conftest import RunServer

TIMEOUT = 2.0
# A busy machine may add to it.
LOAD = Load(200, seconds=TIMEOUT + 20.0)


@pytest.fixture
async def store(raw: Any) -> AsyncIterator[MemcachedStore]:
    host, port = raw.address
    async with MemcachedStore(host=host, port=port) as store:
        yield store


def store_of(server: MemcachedServer, **options: Any) -> MemcachedStore:
    return MemcachedStore(host=server.host, port=server.port, **options)


@asynccontextmanager
async def proxied(raw: Any, **options: Any) -> AsyncGenerator[tuple[FaultProxy, MemcachedStore]]:
    async with FaultProxy(*raw.address) as proxy, MemcachedStore(host=proxy.host, port=proxy.port, **options) as store:
        yield proxy, store


# Servers that die


async def test_a_store_fails_in_time_when_its_server_is_killed_and_serves_after_the_restart(
    private_memcached: MemcachedServer,
) -> None:
    async with store_of(private_memcached, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_memcached.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_memcached.restart)
        assert await LOAD.is_served(store)


async def test_a_store_fails_in_time_when_its_server_freezes_and_serves_when_it_goes_on(
    private_memcached: MemcachedServer,
) -> None:
    async with store_of(private_memcached, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_memcached.pause):
            assert isinstance(error, StoreTimeoutError)
        private_memcached.resume()
        assert await LOAD.is_served(store)


async def test_the_first_use_after_a_restart_finds_no_dead_connection(private_memcached: MemcachedServer) -> None:
    async with store_of(private_memcached) as store:
        assert await LOAD.is_served(store)
        # Not in a thread: the event loop learns nothing of it.
        private_memcached.restart()
        assert await LOAD.is_served(store)


async def test_a_version_from_before_a_restart_is_none_of_the_new_entries(private_memcached: MemcachedServer) -> None:
    async with store_of(private_memcached) as store:
        await store.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        await asyncio.to_thread(private_memcached.restart)
        # The server counts from the start: this entry has the number that the other had.
        await store.put("key", {"n": 2})
        assert version is not None
        assert not await store.put_if_version("key", {"n": 3}, version)
        assert not await store.delete_if_version("key", version)
        assert await store.get("key") == {"n": 2}


# Answers of the server


async def test_a_server_without_memory_is_not_a_connection_error(run_server: RunServer) -> None:
    # Two megabytes, and an error in place of dropping what is least used.
    with run_server(MemcachedServer("-m", "2", "-M")) as server:
        async with store_of(server) as store:
            keys = [f"key {number}" for number in range(100)]
            with pytest.raises(KeyValueStoreError, match="out of memory") as refusal:
                await store.put_many(keys, [{"text": "x" * 100_000}] * 100)
            assert not isinstance(refusal.value, (StoreConnectionError, StoreSetupError))
            assert await store.get("key 0") == {"text": "x" * 100_000}


async def test_a_server_that_drops_entries_is_an_absent_entry(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-m", "2")) as server:
        async with store_of(server) as store:
            for number in range(100):
                await store.put(f"key {number}", {"text": "x" * 100_000})
            found = await store.get_many([f"key {number}" for number in range(100)])
            assert found[99] == {"text": "x" * 100_000}
            assert None in found


async def test_a_server_with_smaller_items_says_how_to_tell_the_store(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-I", "64k", "-o", "slab_chunk_max=32768")) as server:
        async with store_of(server) as store:
            with pytest.raises(KeyValueStoreError, match="max_item_bytes"):
                await store.put("key", {"text": "x" * 100_000})
            assert await store.get("key") is None
            await store.put("key", {"n": 1})


async def test_a_server_without_connections_is_a_connection_error(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-c", "20", "-t", "1", "-o", "maxconns_fast")) as server:
        stores = [store_of(server, timeout=60) for _ in range(25)]
        errors = [await error_of(store.put("key", {"n": 1})) for store in stores]
        assert {type(error) for error in errors if error is not None} == {StoreConnectionError}
        for store in stores:
            await store.close()

        async def serves() -> bool:
            # The server closes its side a moment after us.
            return await error_of(stores[-1].put("key", {"n": 1})) is None

        assert await eventually(serves, within=60)
        await stores[-1].close()


async def error_of(call: Awaitable[object]) -> Exception | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 — the test looks at it
        return error
    return None


# Cancellation


async def cancel_at_random(calls: list[Awaitable[object]]) -> None:
    chance = random.Random(7)  # noqa: S311 — the same every time
    tasks = [asyncio.ensure_future(call) for call in calls]
    while any(not task.done() for task in tasks):
        for task in chance.sample(tasks, 50):
            task.cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.001]))


async def test_a_cancelled_call_leaves_no_answer_to_a_later_one(store: MemcachedStore) -> None:
    keys = [f"key {number}" for number in range(500)]
    await store.put_many(keys, [{"key": key} for key in keys])
    for _ in range(3):
        await cancel_at_random([store.get(key) for key in keys])
        await cancel_at_random([store.get_many([key, "absent"]) for key in keys])
        await cancel_at_random([store.put(key, {"key": key}, ttl=60) for key in keys])
        await cancel_at_random([store.put_many([key], [{"key": key}], ttl=60) for key in keys])
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    assert await store.get_many(keys) == [{"key": key} for key in keys]


async def test_a_call_that_timed_out_leaves_no_answer_to_a_later_one(raw: Any) -> None:
    async with proxied(raw, timeout=2) as (proxy, store):
        await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
        proxy.delay(60)
        for call in (store.get("one"), store.get_many(["one", "two"])):
            with pytest.raises(StoreTimeoutError):
                await call
        proxy.pass_through()
        assert [await store.get("two"), await store.get("one")] == [{"n": 2}, {"n": 1}]
        assert await store.get_many(["two", "one"]) == [{"n": 2}, {"n": 1}]


async def test_a_batch_in_many_parts_that_gets_no_answer_is_a_timeout(raw: Any) -> None:
    keys = [f"key {number}" for number in range(40)]
    async with proxied(raw, timeout=2) as (proxy, store):
        await store.get_many(keys)
        proxy.black_hole()
        with pytest.raises(StoreTimeoutError):
            await store.put_many(keys, [{"text": "x" * 900_000}] * 40)
        proxy.pass_through()
        await store.put_many(keys, [{"n": 1}] * 40)
        assert await store.get_many(keys) == [{"n": 1}] * 40


async def test_closing_does_not_wait_for_ever_for_a_server_that_is_silent(
    raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "CLOSING_SECONDS", 0.2)
    async with proxied(raw, timeout=None) as (proxy, store):
        await store.put("key", {"n": 1})
        proxy.delay(3600)
        call = asyncio.ensure_future(store.get("key"))
        # As often as it takes until the call is sent, however late the event loop is.
        for _ in range(20):
            await asyncio.sleep(0.002)
        await asyncio.wait_for(store.close(), 60)
        with pytest.raises(StoreConnectionError):
            await call
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}


# Load and lifetimes


async def test_an_event_loop_has_two_connections_at_the_most(store: MemcachedStore, raw: Any) -> None:
    before = raw.statistics()["curr_connections"]
    keys = [f"key {number}" for number in range(1000)]
    await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
    await asyncio.gather(*(store.put_many([key], [{"key": key}]) for key in keys))
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    # One of them was there for `setup`.
    assert raw.statistics()["curr_connections"] <= before + 1


async def test_a_batch_of_many_megabytes_arrives(store: MemcachedStore) -> None:
    values = [{"text": chr(97 + number % 26) * 900_000} for number in range(30)]
    keys = [f"key {number}" for number in range(30)]
    await store.put_many(keys, values)
    assert await store.get_many(keys) == values


async def test_a_single_operation_does_not_wait_behind_a_batch(raw: Any) -> None:
    values = [{"text": "x" * 900_000}] * 30
    keys = [f"key {number}" for number in range(30)]
    async with proxied(raw) as (_, store):
        await store.put("key", {"n": 1})
        batch = asyncio.ensure_future(store.put_many(keys, values))
        await asyncio.sleep(0)
        assert await store.get("key") == {"n": 1}
        assert not batch.done()
        await batch


async def test_calls_under_way_when_the_store_is_closed_are_answered(store: MemcachedStore) -> None:
    answers: list[object] = []

    async def use(number: int) -> None:
        while len(answers) < LOAD.users:
            await store.put(f"key {number}", {"n": number})
            answers.append(await store.get_many([f"key {number}", "absent"]) == [{"n": number}, None])

    users = [asyncio.ensure_future(use(number)) for number in range(50)]
    await asyncio.sleep(0.01)
    await asyncio.gather(*(store.close() for _ in range(3)))
    await asyncio.gather(*users)
    assert set(answers) == {True}
    assert await LOAD.is_served(store)


async def test_closing_closes_every_connection_and_the_next_use_opens_one(store: MemcachedStore, raw: Any) -> None:
    await store.close()
    before = await settled_connections(raw)
    assert await LOAD.is_served(store)
    await store.get_many(["key 1"])
    assert raw.statistics()["curr_connections"] == before + 2
    await store.close()
    assert await comes_down_to(raw, before)


async def test_a_store_closed_in_any_turn_of_its_first_call_answers_it_and_leaves_no_connection(raw: Any) -> None:
    host, port = raw.address
    before = await settled_connections(raw)
    stores = [MemcachedStore(host=host, port=port) for _ in range(60)]
    for turns, store in enumerate(stores):
        call = asyncio.ensure_future(store.get("absent"))
        for _ in range(turns % 15):
            await asyncio.sleep(0)
        await store.close()
        assert await call is None
        await store.close()  # a call that begins after close() opens it again
    assert await comes_down_to(raw, before)


async def settled_connections(raw: Any) -> int:
    """How many are open once the server has closed its side of those that earlier tests have closed."""
    counts: list[int] = []
    while len(counts) < 5 or len(set(counts[-5:])) > 1:
        counts.append(raw.statistics()["curr_connections"])
        await asyncio.sleep(0.02)
    return counts[-1]


async def comes_down_to(raw: Any, connections: int) -> bool:
    """The server closes its side a moment after us."""
    for _ in range(1000):
        if raw.statistics()["curr_connections"] <= connections:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_event_loops_one_after_another_leave_nothing_open(raw: Any, ending: str) -> None:
    host, port = raw.address
    beginning = f"""
from key_value.aio.stores.memcached import MemcachedStore
store = MemcachedStore(host={host!r}, port={port})
"""
    before = raw.statistics()["curr_connections"]
    await check_loops_one_after_another(beginning, ending)
    assert await comes_down_to(raw, before)


FORKING = """
import asyncio, os, sys
from key_value.aio.stores.memcached import MemcachedStore

store = MemcachedStore(host=sys.argv[1], port=int(sys.argv[2]))

async def use(who):
    for number in range(300):
        key = f"{who} {number}"
        await store.put(key, {"key": key})
        assert await store.get(key) == {"key": key}
        assert await store.get_many([key]) == [{"key": key}]

def child(run):
    code = 1
    try:
        run(use("child"))
        code = 0
    finally:
        os._exit(code)

def wait_for(process):
    print(os.waitpid(process, 0)[1])
"""

FORKS = {
    "in a call, for another event loop": """
async def main():
    await use("idle")
    under_way = asyncio.ensure_future(use("before"))
    await asyncio.sleep(0.01)
    process = os.fork() or child(asyncio.run)
    await asyncio.gather(use("parent"), under_way)
    await asyncio.to_thread(wait_for, process)

asyncio.run(main())
""",
    "between calls, for the same event loop": """
loop = asyncio.new_event_loop()
loop.run_until_complete(use("idle"))
under_way = loop.create_task(use("before"))
loop.run_until_complete(asyncio.sleep(0.01))
process = os.fork() or child(loop.run_until_complete)
loop.run_until_complete(use("parent"))
loop.run_until_complete(under_way)
wait_for(process)
""",
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
async def test_a_forked_child_and_its_parent_take_no_answers_from_each_other(raw: Any, fork: str) -> None:
    host, port = raw.address
    arguments = ("-W", "ignore", "-c", FORKING + fork, host, str(port))
    assert await asyncio.to_thread(run, sys.executable, *arguments) == "0\n"


# Round trips


async def test_each_operation_is_one_command(store: MemcachedStore, commands_run: Callable[[], dict[str, int]]) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    assert commands_run() == {"cmd_set": 1}
    await store.get("key")
    await store.ttl("key")
    assert commands_run() == {"cmd_get": 2}
    await store.delete("key")
    assert commands_run() == {"delete_hits": 1}
    assert await store.put_if_absent("key", {"n": 1})
    assert commands_run() == {"cmd_set": 1}
    version = (await store.get_versioned("key")).version
    assert commands_run() == {"cmd_get": 1}
    assert version is not None
    assert await store.put_if_version("key", {"n": 2}, version)
    assert commands_run() == {"cmd_get": 1, "cmd_set": 1, "cas_hits": 1}


async def test_nothing_is_sent_for_an_empty_batch(
    store: MemcachedStore, commands_run: Callable[[], dict[str, int]]
) -> None:
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert commands_run() == {}


async def test_each_call_is_one_round_trip_and_a_write_by_version_two(raw: Any) -> None:
    keys, values = [f"key {number}" for number in range(1500)], [{"n": 1}] * 1500
    async with proxied(raw, timeout=60) as (proxy, first), AsyncExitStack() as stack:
        await first.put_many(["versioned", "there"], [{"n": 1}] * 2)
        version = (await first.get_versioned("versioned")).version
        assert version is not None
        calls: list[tuple[Callable[[MemcachedStore], Awaitable[object]], int]] = [
            (lambda store: store.put("key", {"n": 1}, ttl=60), 1),
            (lambda store: store.put_many(keys, values), 1),
            (lambda store: store.get_many(keys), 1),
            (lambda store: store.delete_many(keys), 1),
            (lambda store: store.get_versioned("key"), 1),
            (lambda store: store.put_if_absent("absent", {}), 1),
            (lambda store: store.put_if_absent("there", {}), 2),
            (lambda store: store.put_if_version("versioned", {}, version), 2),
        ]
        stores = [MemcachedStore(host=proxy.host, port=proxy.port, timeout=60) for _ in calls]
        for store in stores:
            await stack.enter_async_context(store)
            await store.get("key")
            await store.get_many(["key"])
        proxy.delay(ROUND_TRIP)
        took = await round_trips_of(*(call(store) for (call, _), store in zip(calls, stores, strict=True)))
    assert took == [trips for _, trips in calls]
