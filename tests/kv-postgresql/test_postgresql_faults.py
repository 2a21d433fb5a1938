"""Faults of PostgreSQL and its driver, and cancelled calls, beyond the kit's tests for every store."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from key_value.aio.errors import (
    DeserializationError,
    StoreConnectionError,
    StoreTimeoutError,
)
from key_value.aio.stores.postgresql import PostgreSQLStore
from key_value.aio.testing import FaultProxy

from .activity import LOAD, TIMEOUT, connections_named, eventually_disconnected, eventually_waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Raw
    from servers.postgresql import PostgreSQLServer

Driver: Any = asyncpg  # untyped


@pytest.fixture
async def store(url: str, raw: Raw) -> AsyncIterator[PostgreSQLStore]:
    assert raw.url == url
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        yield store


# Server outages


async def test_calls_fail_in_time_when_the_server_is_killed_and_succeed_after_a_restart(
    private_postgresql: PostgreSQLServer,
) -> None:
    async with PostgreSQLStore(url=private_postgresql.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_postgresql.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_postgresql.restart)
        assert await LOAD.is_served(store)


async def test_calls_fail_in_time_when_the_server_freezes_and_succeed_after_it_resumes(
    private_postgresql: PostgreSQLServer,
) -> None:
    async with PostgreSQLStore(url=private_postgresql.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_postgresql.pause):
            assert isinstance(error, StoreTimeoutError)
            assert f"timeout={TIMEOUT:g} s" in str(error)
        private_postgresql.resume()
        assert await LOAD.is_served(store)


async def test_calls_through_a_pool_fail_when_the_server_is_killed_and_succeed_after_a_restart(
    private_postgresql: PostgreSQLServer,
) -> None:
    async with Driver.create_pool(private_postgresql.url, min_size=0) as pool:
        store = PostgreSQLStore(pool=pool, timeout=TIMEOUT)
        await store.setup()
        for error in await LOAD.errors_after(store, private_postgresql.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_postgresql.restart)
        assert await LOAD.is_served(store)


async def test_the_first_use_after_a_restart_does_not_reuse_a_dead_connection(
    private_postgresql: PostgreSQLServer,
) -> None:
    async with PostgreSQLStore(url=private_postgresql.url) as store:
        assert await LOAD.is_served(store)
        await asyncio.to_thread(private_postgresql.restart)
        assert await LOAD.is_served(store)


async def test_an_acknowledged_entry_survives_a_killed_server(private_postgresql: PostgreSQLServer) -> None:
    async with PostgreSQLStore(url=private_postgresql.url) as store:
        await store.put_many([f"{number}" for number in range(100)], [{"n": 1}] * 100)
        await asyncio.to_thread(private_postgresql.kill)
        await asyncio.to_thread(private_postgresql.restart)
        assert len(await store.keys()) == 100


async def test_a_connection_reset_while_idle_is_reopened(url: str, raw: Raw) -> None:
    assert raw.url == url
    place = urlsplit(url)
    async with FaultProxy(place.hostname or "", place.port or 5432) as proxy:
        through = place._replace(netloc=f"{place.username}@{proxy.host}:{proxy.port}").geturl()
        async with PostgreSQLStore(url=through, table_name="kv_test") as store:
            assert await LOAD.is_served(store)
            proxy.reset()
            # Enough turns for the event loop to notice, however slow it is.
            for _ in range(50):
                await asyncio.sleep(0.002)
            proxy.pass_through()
            assert await LOAD.is_served(store)


# Answers of the server


async def test_a_statement_blocked_by_a_lock_times_out_and_is_not_executed_later(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test", timeout=TIMEOUT) as store, raw.connected() as other:
        await store.put("a", {"n": 1})
        async with other.transaction():
            await other.execute("UPDATE kv_test SET value = value")
            with pytest.raises(StoreTimeoutError, match=f"timeout={TIMEOUT:g} s"):
                await store.put("a", {"n": 2})
            assert await store.get("a") == {"n": 1}
            # Otherwise it would run when the lock is released, and overwrite later writes.
            assert await eventually_waiting(raw, 0)
        await store.put("a", {"n": 3})
        assert await store.get("a") == {"n": 3}


@pytest.mark.parametrize("limit", ["statement_timeout", "lock_timeout"])
async def test_a_server_side_time_limit_is_reported_by_its_name(
    store: PostgreSQLStore, url: str, raw: Raw, limit: str
) -> None:
    await store.put("a", {"n": 1})
    limited = PostgreSQLStore(url=f"{url}?{limit}=1000", table_name="kv_test", timeout=60)
    async with limited, raw.connected() as other, other.transaction():
        await other.execute("UPDATE kv_test SET value = value")
        with pytest.raises(StoreTimeoutError, match=limit):
            await limited.put("a", {"n": 2})


async def test_a_server_at_its_connection_limit_is_a_connection_error(url: str, raw: Raw) -> None:
    await raw.fetch("DROP ROLE IF EXISTS single")
    await raw.fetch("CREATE ROLE single LOGIN SUPERUSER PASSWORD 'pass-of-single' CONNECTION LIMIT 1")
    await raw.fetch("ALTER ROLE single NOSUPERUSER")
    await raw.fetch("GRANT ALL ON SCHEMA public TO single")
    place = urlsplit(url)._replace(netloc=f"single:pass-of-single@{urlsplit(url).netloc.rpartition('@')[2]}").geturl()
    async with PostgreSQLStore(url=place, table_name="kv_test", max_connections=1) as first:
        await first.put("a", {"n": 1})
        second = PostgreSQLStore(url=place, table_name="kv_test")
        with pytest.raises(StoreConnectionError, match="too many connections"):
            await second.get("a")
    assert await second.get("a") == {"n": 1}
    await second.close()
    await raw.fetch("DROP OWNED BY single")


async def test_a_serialization_failure_is_a_connection_error(url: str, raw: Raw) -> None:
    strict = f"{url}?default_transaction_isolation=serializable"
    async with PostgreSQLStore(url=strict, table_name="kv_test") as store, raw.connected() as other:
        await store.put("a", {"n": 1})
        transaction = other.transaction()
        await transaction.start()
        await other.execute("""UPDATE kv_test SET value = '{"n": 2}'""")
        put = asyncio.ensure_future(store.put("a", {"n": 3}))
        assert await eventually_waiting(raw, 1)
        await transaction.commit()
        with pytest.raises(StoreConnectionError, match="conflict with another transaction"):
            await put


async def test_a_date_beyond_the_range_of_python_is_reported_as_corrupt(store: PostgreSQLStore, raw: Raw) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    await raw.fetch("UPDATE kv_test SET expires_at = '20000-01-01' WHERE key = 'a'")
    for read in (store.get("a"), store.get_many(["a", "b"]), store.get_versioned("a")):
        with pytest.raises(DeserializationError, match="date"):
            await read
    assert await store.get("b") == {"n": 1}


# Cancellation


async def test_a_cancelled_call_leaves_no_answer_for_a_later_call(store: PostgreSQLStore) -> None:
    chance = random.Random(7)  # noqa: S311 — reproducible
    keys = [f"key {number}" for number in range(100)]
    await store.put_many(keys, [{"key": key} for key in keys])
    for _ in range(3):
        tasks = [asyncio.ensure_future(store.get(key)) for key in keys]
        while any(not task.done() for task in tasks):
            for task in chance.sample(tasks, 10):
                task.cancel()
            await asyncio.sleep(chance.choice([0, 0, 0.001]))
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]


async def test_cancelled_calls_leave_no_connection_open(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=f"{url}?application_name=cancelled", table_name="kv_test") as store:
        await store.put("a", {"n": 1})
        for steps in range(30):
            task = asyncio.ensure_future(store.get("a"))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert await store.get("a") == {"n": 1}
        assert await connections_named(raw, "cancelled") <= 10
    assert await eventually_disconnected(raw, "cancelled")
