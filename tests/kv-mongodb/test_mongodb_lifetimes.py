"""Clients, event loops, processes and failing servers, beyond the tests of the kit."""

from __future__ import annotations

import asyncio
import random
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.mongodb import MongoDBStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import eventually
from key_value.aio.testing.load import Load
from lifetimes import (
    FORKS,
    check_closing_frozen,
    check_closing_under_load,
    check_closing_with_calls,
    check_loops_one_after_another,
    run_strictly,
)
from pymongo import AsyncMongoClient

if TYPE_CHECKING:
    from servers.mongodb import MongoDBServer

TIMEOUT = 5.0
# A busy machine may exceed the timeout; a call without a timeout never ends.
LOAD = Load(20, seconds=TIMEOUT + 30.0)


class CountingProxy(FaultProxy):
    @property
    def connections(self) -> int:
        return len(self._connections)

    @property
    def url(self) -> str:
        return f"mongodb://{self.host}:{self.port}"

    async def has_no_connections(self) -> bool:
        """Return whether the last connection ends within 60 seconds."""

        async def are_closed() -> bool:
            return self.connections == 0

        return await eventually(are_closed, within=60)


def proxy_of(server: MongoDBServer) -> CountingProxy:
    return CountingProxy(*server.address)


async def is_served(store: MongoDBStore) -> bool:
    try:
        return await LOAD.is_served(store)
    except StoreConnectionError:
        return False


# Failing servers


async def test_calls_fail_in_time_when_the_server_is_killed_and_entries_survive_the_restart(
    private_mongodb: MongoDBServer,
) -> None:
    async with MongoDBStore(url=private_mongodb.url, timeout=TIMEOUT) as store:
        await store.put_many([f"{number}" for number in range(100)], [{"n": 1}] * 100, collection="acknowledged")
        for error in await LOAD.errors_after(store, private_mongodb.kill):
            assert isinstance(error, StoreConnectionError)
        await asyncio.to_thread(private_mongodb.restart)
        assert await eventually(partial(is_served, store), within=60)
        assert len(await store.keys("acknowledged")) == 100


async def test_calls_time_out_while_the_server_is_frozen_and_the_store_recovers(
    private_mongodb: MongoDBServer,
) -> None:
    async with MongoDBStore(url=private_mongodb.url, timeout=TIMEOUT) as store:
        for error in await LOAD.errors_after(store, private_mongodb.pause):
            assert isinstance(error, StoreTimeoutError)
        private_mongodb.resume()
        assert await eventually(partial(is_served, store), within=60)


async def test_closing_does_not_wait_for_a_frozen_server(private_mongodb: MongoDBServer) -> None:
    await check_closing_frozen(MongoDBStore(url=private_mongodb.url, timeout=TIMEOUT), private_mongodb)


async def test_a_connection_that_was_reset_while_idle_is_reopened(mongodb_server: MongoDBServer, raw: Any) -> None:
    async with (
        proxy_of(mongodb_server) as proxy,
        MongoDBStore(url=proxy.url, db_name=raw.name, timeout=30) as store,
    ):
        assert await LOAD.is_served(store)
        proxy.reset()
        await asyncio.sleep(0.5)  # so that the event loop notices
        proxy.pass_through()
        # pymongo repeats reads, but repeats writes only on a replica set, which this server is not.
        assert await store.get("key 1") == {"key": "key 1"}
        assert await eventually(partial(is_served, store), within=60)


# Cancellation


async def test_the_answer_to_a_cancelled_call_never_reaches_a_later_call(url: str, raw: Any) -> None:
    chance = random.Random(7)  # noqa: S311 — reproducible
    keys = [f"key {number}" for number in range(40)]
    # A single connection, opened before the first call is cancelled.
    place = f"{url}{'&' if '?' in url else '/?'}maxPoolSize=1"
    async with MongoDBStore(url=place, db_name=raw.name, timeout=30) as store:
        await store.put_many(keys, [{"key": key} for key in keys])
        tasks = [asyncio.ensure_future(store.get(key)) for key in keys]
        await asyncio.gather(*tasks[:5])
        for task in chance.sample(tasks[6:], 20):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]


# Closing


async def test_closing_under_load_lets_calls_finish_and_closes_every_connection(
    mongodb_server: MongoDBServer, raw: Any
) -> None:
    async with proxy_of(mongodb_server) as proxy:
        store = MongoDBStore(url=proxy.url, db_name=raw.name, timeout=30)
        await check_closing_with_calls(store, LOAD.users, proxy.has_no_connections)


async def test_closing_repeatedly_under_load_breaks_no_call(mongodb_server: MongoDBServer, raw: Any) -> None:
    async with proxy_of(mongodb_server) as proxy:
        await check_closing_under_load(MongoDBStore(url=proxy.url, db_name=raw.name, timeout=30))
        assert await proxy.has_no_connections()


# Clients that are passed in


async def test_a_client_that_was_passed_in_is_never_closed(url: str, raw: Any) -> None:
    async with AsyncMongoClient[Any](url) as client:
        async with MongoDBStore(client=client, db_name=raw.name, timeout=30) as store:
            await store.put("key", {"n": 1})
        assert await client[raw.name]["default_collection"].count_documents({}) == 1
        assert await store.get("key") == {"n": 1}
    with pytest.raises(StoreSetupError, match="has been closed"):
        await store.get("key")


def test_a_client_of_another_event_loop_is_a_setup_error(url: str, raw: Any) -> None:
    stores: list[MongoDBStore] = []

    async def make() -> None:
        async with AsyncMongoClient[Any](url) as client:
            stores.append(MongoDBStore(client=client, db_name=raw.name, timeout=30))
            await stores[0].put("key", {"n": 1})

    async def use() -> None:
        with pytest.raises(StoreSetupError, match="another event loop"):
            await stores[0].get("key")

    asyncio.run(make())
    asyncio.run(use())


async def test_a_client_keeps_its_write_concern_and_read_preference(url: str, raw: Any) -> None:
    async with AsyncMongoClient[Any](url, w=1, readPreference="secondaryPreferred") as client:
        store = MongoDBStore(client=client, db_name=raw.name, timeout=30)
        assert await store.put_if_absent("key", {"n": 1}) is True
        version = (await store.get_versioned("key")).version
        assert version is not None
        assert await store.put_if_version("key", {"n": 2}, version) is True
        assert await store.get("key") == {"n": 2}


# Event loops and processes


BEGINNING = """
from key_value.aio.stores.mongodb import MongoDBStore

store = MongoDBStore(url=URL, db_name=NAME, timeout=30)

async def use():
    await store.put("used", {"n": 1})
    assert await store.get("used") == {"n": 1}
"""


def beginning(url: str, name: str) -> str:
    return f"URL, NAME = {url!r}, {name!r}\n{BEGINNING}"


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_consecutive_event_loops_leave_nothing_open(mongodb_server: MongoDBServer, raw: Any, ending: str) -> None:
    async with proxy_of(mongodb_server) as proxy:
        await check_loops_one_after_another(beginning(proxy.url, raw.name), ending)
        assert await proxy.has_no_connections()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_has_a_client_of_its_own(url: str, raw: Any) -> None:
    program = FORKS.format(forks=5)
    assert run_strictly(beginning(url, raw.name) + program) == [str([0] * 10)]
