"""Clients when a store closes, an event loop ends or stops, and the process forks."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest
from glide import GlideClient, GlideClientConfiguration
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.valkey import ValkeyStore
from lifetimes import FORKS, check_closing_under_load, run_strictly
from redis_cases import check_cancelled_close, connections_named, connections_to_cluster

if TYPE_CHECKING:
    from glide import GlideClusterClientConfiguration

NAME = "lifetimes"


def has_connections(raw: Any, number: int) -> bool:
    """Wait up to a minute for this number of connections: the driver closes them in its own thread."""
    deadline = time.monotonic() + 60
    while connections_named(raw, NAME) != number:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def named(config: GlideClientConfiguration) -> GlideClientConfiguration:
    config.client_name = NAME
    return config


# Opening and closing


async def test_no_connection_is_opened_before_the_first_use(named: GlideClientConfiguration, raw: Any) -> None:
    store = ValkeyStore(config=named)
    assert connections_named(raw, NAME) == 0
    await store.get("key")
    assert connections_named(raw, NAME) == 1
    await store.close()


async def test_concurrent_calls_open_one_client(named: GlideClientConfiguration, raw: Any) -> None:
    async with ValkeyStore(config=named) as store:
        await store.close()
        await asyncio.gather(*(store.get(f"key {number}") for number in range(50)))
        assert connections_named(raw, NAME) == 1


async def test_the_configuration_passed_in_is_not_modified(config: GlideClientConfiguration, raw: Any) -> None:
    assert raw.ping()
    before = dict(vars(config))
    async with ValkeyStore(config=config):
        assert vars(config) == before


async def test_calls_in_flight_at_close_are_answered_and_later_calls_reconnect(
    named: GlideClientConfiguration, raw: Any
) -> None:
    await check_closing_under_load(ValkeyStore(config=named))
    assert has_connections(raw, 0)


async def test_calls_in_flight_at_close_are_answered_on_a_cluster(
    cluster_config: GlideClusterClientConfiguration, raw_cluster: Any
) -> None:
    cluster_config.client_name = NAME
    await check_closing_under_load(ValkeyStore(config=cluster_config))
    assert connections_to_cluster(raw_cluster, NAME) == 0


async def test_a_cancelled_close_drops_the_connections_at_once(named: GlideClientConfiguration, raw: Any) -> None:
    await check_cancelled_close(ValkeyStore(config=named), raw, "the client was closed")
    assert has_connections(raw, 0)


async def test_a_client_that_has_closed_itself_is_replaced(named: GlideClientConfiguration, raw: Any) -> None:
    async with ValkeyStore(config=named) as store:
        await store.put("key", {"n": 1})
        inside: Any = store
        # No public call makes the driver's client close by itself.
        await inside._session()._client.close("out of luck")  # noqa: SLF001 — see above
        with pytest.raises(StoreConnectionError, match="the client was closed"):
            await store.get("key")
        assert await store.get("key") == {"n": 1}
        assert has_connections(raw, 1)


async def test_a_client_that_was_passed_in_stays_open(config: GlideClientConfiguration, raw: Any) -> None:
    client = await GlideClient.create(config)
    async with ValkeyStore(client=client) as store:
        await store.put("key", {"n": 1})
    assert await client.get("default_collection::key") == raw.get("default_collection::key")
    await client.close()


def test_a_client_of_another_event_loop_is_reported(config: GlideClientConfiguration, raw: Any) -> None:
    assert raw.ping()
    loop = asyncio.new_event_loop()
    client = loop.run_until_complete(GlideClient.create(config))
    try:
        with pytest.raises(StoreSetupError, match="its client belongs to another event loop"):
            asyncio.run(ValkeyStore(client=client).get("key"))
    finally:
        loop.run_until_complete(client.close())
        loop.close()


# Event loops, in separate programs where a warning is an error that appears in the output

BEGINNING = """
from glide import GlideClientConfiguration, NodeAddress
from key_value.aio.stores.valkey import ValkeyStore

config = GlideClientConfiguration(
    [NodeAddress({host!r}, {port!r})], database_id={database!r}, client_name={name!r}, request_timeout=30000
)
store = ValkeyStore(config=config)

async def use():
    await asyncio.gather(*(store.put("key", {{"n": 1}}) for _ in range(20)))
    assert await store.get("key") == {{"n": 1}}

import redis
raw = redis.Redis(host={host!r}, port={port!r}, db={database!r})

def connections(expected):
    gc.collect()
    # The driver closes them in its own thread.
    deadline = time.monotonic() + 60
    while True:
        found = sum(client["name"] == {name!r} for client in raw.client_list())
        if found == expected or time.monotonic() > deadline:
            return found
        time.sleep(0.02)
"""

SUCCESSIVE_LOOPS = """
for _ in range(5):
    asyncio.run(use())
print(connections(0))
"""

CLOSED_LOOPS = """
for _ in range(10):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
print(connections(1))
asyncio.run(use())
print(connections(0))
"""

STOPPED_LOOPS = """
loops = [asyncio.new_event_loop() for _ in range(5)]
for loop in loops:
    loop.run_until_complete(use())
print(connections(1))
for loop in loops:
    loop.run_until_complete(use())
    loop.run_until_complete(store.close())
    loop.close()
print(connections(0))
"""

DROPPED_STORES = """
async def drop():
    global store
    for _ in range(5):
        store = ValkeyStore(config=config)
        await use()
    store = None
    gc.collect()
    # The event loop closes the clients of dropped stores.
    for _ in range(100):
        await asyncio.sleep(0.001)
    print(connections(0))
asyncio.run(drop())
"""

# The first loop reads the answers of all clients, and ends while another loop waits.
THREADS = """
async def wait_for_answers(seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await use()

first = threading.Thread(target=lambda: asyncio.run(wait_for_answers(0.5)))
first.start()
time.sleep(0.2)
others = [threading.Thread(target=lambda: asyncio.run(wait_for_answers(1.5))) for _ in range(3)]
begun = time.monotonic()
for thread in others:
    thread.start()
for thread in (first, *others):
    thread.join()
print(time.monotonic() - begun < 20)
print(connections(0))
"""


def printed_by(program: str, config: GlideClientConfiguration) -> list[str]:
    [address] = config.addresses
    text = (BEGINNING + program).format(
        host=address.host, port=address.port, database=config.database_id, name=NAME, forks=5
    )
    text += "\nraw.close()\n"
    return run_strictly(text, "DeprecationWarning")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (SUCCESSIVE_LOOPS, ["0"]),
        (CLOSED_LOOPS, ["1", "0"]),
        (STOPPED_LOOPS, ["1", "0"]),
        (DROPPED_STORES, ["0"]),
        (THREADS, ["True", "0"]),
    ],
    ids=["successive", "closed", "stopped", "dropped stores", "threads"],
)
def test_event_loops_leave_no_connection_behind(
    config: GlideClientConfiguration, raw: Any, program: str, expected: list[str]
) -> None:
    assert raw.ping()
    assert printed_by(program, config) == expected
    assert has_connections(raw, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_opens_its_own_client(config: GlideClientConfiguration, raw: Any) -> None:
    assert raw.ping()
    assert printed_by(FORKS, config) == [str([0] * 10)]
    assert has_connections(raw, 0)
