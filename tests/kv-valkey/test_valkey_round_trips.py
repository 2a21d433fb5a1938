"""Commands sent for each call, as counted by the server, and round trips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.valkey import ValkeyStore
from redis_cases import CommandCases, proxy_to
from round_trips import ROUND_TRIP, round_trips_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers.valkey_cluster import ValkeyCluster

    CommandsRun = Callable[[], dict[str, int]]

KEYS = [f"key {number}" for number in range(100)]
VALUES = [{"key": key} for key in KEYS]


@pytest.fixture
async def store(store: ValkeyStore) -> ValkeyStore:
    """The package's store, with its scripts loaded into the server."""
    await store.put_if_absent("known", {})
    await store.put_many(["known"], [{}], ttl=1)
    await store.delete("known")
    return store


class TestValkeyStoreCommands(CommandCases):
    """On a single server."""


async def test_a_batch_with_ttl_is_one_script(store: ValkeyStore, commands_run: CommandsRun) -> None:
    await store.put_many(KEYS, VALUES, ttl=60)
    assert commands_run() == {"evalsha": 1, "set": 100}


async def test_a_conditional_write_is_one_script(store: ValkeyStore, commands_run: CommandsRun) -> None:
    await store.put_if_absent("key", {"n": 1})
    assert commands_run() == {"evalsha": 1, "get": 1, "set": 1}


@pytest.mark.parametrize("size", [100, 1200])
async def test_each_call_is_one_round_trip(store: ValkeyStore, raw: Any, size: int) -> None:
    keys, values = [f"key {number}" for number in range(size)], [{"n": 1}] * size
    await store.put_many(keys, values)
    async with (
        proxy_to(raw) as proxy,
        ValkeyStore(host=proxy.host, port=proxy.port, timeout=60) as delayed,
    ):
        await delayed.get("key")
        proxy.delay(ROUND_TRIP)
        trips = await round_trips_of(
            delayed.put("key", {"n": 1}, ttl=60),
            delayed.put_many(keys, values),
            delayed.put_many(keys, values, ttl=60),
            delayed.get_many(keys),
            delayed.delete_many(keys),
        )
        assert trips == [1] * 5
        proxy.pass_through()


async def test_a_batch_on_a_cluster_is_one_command_per_slot(
    valkey_cluster: ValkeyCluster, raw_cluster: Any, cluster_commands_run: CommandsRun
) -> None:
    slots = len({raw_cluster.keyslot(f"default_collection::{key}") for key in KEYS})
    async with ValkeyStore.from_url(f"{valkey_cluster.url}?cluster=true") as store:
        await store.get("key")
        cluster_commands_run()
        await store.put_many(KEYS, VALUES)
        assert cluster_commands_run() == {"mset": slots}
        assert await store.get_many(KEYS) == VALUES
        assert cluster_commands_run() == {"mget": slots}
        await store.put_many(KEYS, VALUES, ttl=60)
        assert cluster_commands_run() == {"set": 100}
        assert await store.delete_many(KEYS) == 100
        assert cluster_commands_run() == {"unlink": slots}
