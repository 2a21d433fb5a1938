"""Number and lifetime of connections with pools, event loops and forks."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from key_value.aio.stores.postgresql import PostgreSQLStore
from key_value.aio.testing.contract import eventually
from lifetimes import (
    check_closing_frozen,
    check_closing_under_load,
    check_closing_with_calls,
    check_loops_one_after_another,
)
from workspace import run

from .activity import LOAD, TIMEOUT, connections_named, eventually_disconnected

if TYPE_CHECKING:
    from conftest import Raw
    from servers.postgresql import PostgreSQLServer

Driver: Any = asyncpg  # untyped


async def test_no_more_connections_are_opened_than_max_connections(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(
        url=f"{url}?application_name=limited", table_name="kv_test", max_connections=3, timeout=30
    ) as store:
        await asyncio.gather(*(store.put(f"{number}", {"n": number}) for number in range(500)))
        assert await connections_named(raw, "limited") == 3


async def test_an_idle_connection_is_closed(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(
        url=f"{url}?application_name=idle", table_name="kv_test", max_connections=5, max_idle=3, timeout=30
    ) as store:
        await asyncio.gather(*(store.put(f"{number}", {"n": number}) for number in range(50)))
        assert await connections_named(raw, "idle") == 5

        async def is_one_left() -> bool:
            await store.get("1")
            return await connections_named(raw, "idle") == 1

        assert await eventually(is_one_left, within=60)


async def test_a_small_pool_serves_the_load(url: str, raw: Raw) -> None:
    assert raw.url == url
    async with Driver.create_pool(url, min_size=1, max_size=1) as pool:
        assert await LOAD.is_served(PostgreSQLStore(pool=pool, table_name="kv_test", timeout=30))


async def test_a_pool_that_was_passed_in_is_never_closed(url: str, raw: Raw) -> None:
    assert raw.url == url
    async with Driver.create_pool(url, min_size=1, max_size=1) as pool:
        before = await pool.fetchval("SELECT pg_backend_pid()")
        async with PostgreSQLStore(pool=pool, table_name="kv_test") as store:
            await store.put("key", {"n": 1})
        assert await pool.fetchval("SELECT pg_backend_pid()") == before
        assert await store.get("key") == {"n": 1}


async def test_close_under_load_lets_calls_finish_and_closes_every_connection(url: str, raw: Raw) -> None:
    store = PostgreSQLStore(url=f"{url}?application_name=closing", table_name="kv_test", timeout=30)
    await check_closing_with_calls(store, LOAD.users, lambda: eventually_disconnected(raw, "closing"))


async def test_closing_repeatedly_under_load_breaks_no_call(url: str, raw: Raw) -> None:
    store = PostgreSQLStore(url=f"{url}?application_name=flapping", table_name="kv_test", timeout=30)
    await check_closing_under_load(store)
    assert await eventually_disconnected(raw, "flapping")


async def test_close_does_not_wait_for_a_frozen_server(private_postgresql: PostgreSQLServer) -> None:
    await check_closing_frozen(PostgreSQLStore(url=private_postgresql.url, timeout=TIMEOUT), private_postgresql)


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_leave_no_connection_open(url: str, raw: Raw, ending: str) -> None:
    beginning = f"""
from key_value.aio.stores.postgresql import PostgreSQLStore
store = PostgreSQLStore(url={url!r} + "?application_name=loops", table_name="kv_test", auto_cull=60)
"""
    await check_loops_one_after_another(beginning, ending)
    assert await eventually_disconnected(raw, "loops")


async def test_a_forked_child_opens_its_own_connections(url: str, raw: Raw) -> None:
    program = f"""
import asyncio, os
from key_value.aio.stores.postgresql import PostgreSQLStore

store = PostgreSQLStore(url={url!r}, table_name="kv_test")

async def use(name):
    for number in range(20):
        await store.put(name, {{"n": number}})
        assert await store.get(name) == {{"n": number}}
    return True

async def main():
    in_flight = [asyncio.ensure_future(use(f"parent {{number}}")) for number in range(5)]
    await asyncio.sleep(0.01)
    child = os.fork()
    if not child:
        asyncio.set_event_loop(None)
        asyncio._set_running_loop(None)
        try:
            os._exit(not asyncio.run(use("child")))
        finally:
            os._exit(2)
    assert await asyncio.gather(*in_flight) == [True] * 5
    assert await use("parent")
    print(os.waitpid(child, 0)[1])
    await store.close()

asyncio.run(main())
"""
    assert await asyncio.to_thread(run, sys.executable, "-W", "ignore", "-c", program) == "0\n"
    assert await raw.value("SELECT count(*) FROM kv_test") == 7
