"""Connections under load, when a store closes, an event loop ends, and the process forks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.memcached import MemcachedStore, connection
from lifetimes import FORK_IN_A_CALL, check_closing_at_once, check_fork, check_loops_one_after_another, needs_fork

from .conftest import LOAD, proxied


def beginning_of(raw: Any) -> str:
    """Return the beginning of a program that uses `store`."""
    host, port = raw.address
    return f"""
from key_value.aio.stores.memcached import MemcachedStore
store = MemcachedStore(host={host!r}, port={port})
"""


async def test_an_event_loop_has_at_most_two_connections(store: MemcachedStore, raw: Any) -> None:
    before = raw.statistics()["curr_connections"]
    keys = [f"key {number}" for number in range(1000)]
    await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
    await asyncio.gather(*(store.put_many([key], [{"key": key}]) for key in keys))
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    # `setup` has already opened one of them.
    assert raw.statistics()["curr_connections"] <= before + 1


async def test_a_batch_of_many_megabytes_is_stored_and_read(store: MemcachedStore) -> None:
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


async def test_calls_in_flight_at_close_are_answered(store: MemcachedStore) -> None:
    await check_closing_at_once(store, LOAD)


async def test_close_does_not_wait_forever_for_a_silent_server(raw: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CLOSING_SECONDS", 0.2)
    async with proxied(raw, timeout=None) as (proxy, store):
        await store.put("key", {"n": 1})
        proxy.delay(3600)
        call = asyncio.ensure_future(store.get("key"))
        # Enough turns to send the call, however slow the event loop is.
        for _ in range(20):
            await asyncio.sleep(0.002)
        await asyncio.wait_for(store.close(), 60)
        with pytest.raises(StoreConnectionError):
            await call
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}


async def test_close_closes_every_connection_and_the_next_use_reconnects(store: MemcachedStore, raw: Any) -> None:
    await store.close()
    before = await settled_connections(raw)
    assert await LOAD.is_served(store)
    await store.get_many(["key 1"])
    assert raw.statistics()["curr_connections"] == before + 2
    await store.close()
    assert await drops_to(raw, before)


async def test_a_store_closed_in_any_turn_of_its_first_call_answers_it_and_disconnects(raw: Any) -> None:
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
    assert await drops_to(raw, before)


async def settled_connections(raw: Any) -> int:
    """Return the number of open connections once the server has dropped those closed by earlier tests."""
    counts: list[int] = []
    while len(counts) < 5 or len(set(counts[-5:])) > 1:
        counts.append(raw.statistics()["curr_connections"])
        await asyncio.sleep(0.02)
    return counts[-1]


async def drops_to(raw: Any, connections: int) -> bool:
    """Wait for the server to close its side, which it does a moment after the client."""
    for _ in range(1000):
        if raw.statistics()["curr_connections"] <= connections:
            return True
        await asyncio.sleep(0.02)
    return False


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_leave_no_connection_open(raw: Any, ending: str) -> None:
    before = raw.statistics()["curr_connections"]
    await check_loops_one_after_another(beginning_of(raw), ending)
    assert await drops_to(raw, before)


FORKS = {
    "in a call, for another event loop": FORK_IN_A_CALL,
    "between calls, for the same event loop": """
loop = asyncio.new_event_loop()
loop.run_until_complete(use("idle"))
in_flight = loop.create_task(use("before"))
loop.run_until_complete(asyncio.sleep(0.01))
process = os.fork() or child(loop.run_until_complete)
loop.run_until_complete(use("parent"))
loop.run_until_complete(in_flight)
wait_for(process)
""",
}


@needs_fork
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
async def test_a_forked_child_and_its_parent_never_read_each_other_s_answers(raw: Any, fork: str) -> None:
    await check_fork(beginning_of(raw), fork)
