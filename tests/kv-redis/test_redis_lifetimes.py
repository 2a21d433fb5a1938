"""Connections when a store closes, an event loop ends or stops, and the process forks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.redis import RedisStore
from lifetimes import FORKS, check_closing_under_load, run_strictly
from redis_cases import check_cancelled_close, connections_named, connections_to_cluster

if TYPE_CHECKING:
    from servers.redis_cluster import RedisCluster

NAME = "lifetimes"


@pytest.fixture
def named_url(url: str) -> str:
    return f"{url}?client_name={NAME}"


# Closing


async def test_calls_in_flight_at_close_are_answered_and_later_calls_reconnect(named_url: str, raw: Any) -> None:
    await check_closing_under_load(RedisStore(url=named_url))
    assert connections_named(raw, NAME) == 0


async def test_calls_in_flight_at_close_are_answered_on_a_cluster(
    redis_cluster: RedisCluster, raw_cluster: Any
) -> None:
    await check_closing_under_load(RedisStore(url=[f"{url}?client_name={NAME}" for url in redis_cluster.urls]))
    assert connections_to_cluster(raw_cluster, NAME) == 0


async def test_a_cancelled_close_drops_the_connections_at_once(named_url: str, raw: Any) -> None:
    await check_cancelled_close(RedisStore(url=named_url), raw, "the store was closed")
    assert connections_named(raw, NAME) == 0


# Event loops, in separate programs where a warning is an error that appears in the output

BEGINNING = """
from key_value.aio.stores.redis import RedisStore

store = RedisStore(url={url!r})

async def use():
    await asyncio.gather(*(store.put("key", {{"n": 1}}) for _ in range(20)))
    assert await store.get("key") == {{"n": 1}}

def open_files():
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
"""

CLOSED_LOOPS = """
before = open_files()
for _ in range(10):
    loop = asyncio.new_event_loop()
    loop.run_until_complete(use())
    loop.close()
print(open_files() - before)
asyncio.run(use())
print(open_files() - before)
"""

STOPPED_LOOPS = """
import redis
raw = redis.Redis.from_url({url!r}.partition("?")[0])
loops = [asyncio.new_event_loop() for _ in range(5)]
for loop in loops:
    loop.run_until_complete(use())
print(sum(client["name"] == {name!r} for client in raw.client_list()))
for loop in loops:
    # Each loop notices that its connection has ended, and closes its side.
    loop.run_until_complete(use())
    loop.run_until_complete(store.close())
    loop.close()
print(sum(client["name"] == {name!r} for client in raw.client_list()))
raw.close()
"""


def printed_by(program: str, url: str) -> list[str]:
    text = (BEGINNING + program).format(url=url, name=NAME, forks=10)
    return run_strictly(text, "DeprecationWarning")


@pytest.mark.skipif(sys.platform != "linux", reason="open files are counted in /proc")
def test_the_next_use_closes_the_connections_of_a_closed_loop(named_url: str, raw: Any) -> None:
    assert printed_by(CLOSED_LOOPS, named_url) == ["1", "0"]
    assert connections_named(raw, NAME) == 0


def test_the_next_use_closes_the_connections_of_a_stopped_loop_which_may_run_again(named_url: str, raw: Any) -> None:
    assert raw.ping()
    assert printed_by(STOPPED_LOOPS, named_url) == ["1", "0"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_opens_its_own_connections(named_url: str, raw: Any) -> None:
    assert printed_by(FORKS, named_url) == [str([0] * 15)]
    assert connections_named(raw, NAME) == 0
