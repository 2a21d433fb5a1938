"""Commands and round trips of each call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from key_value.aio.stores.memcached import MemcachedStore
from round_trips import round_trips_through

from .conftest import proxied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


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


async def test_each_call_is_one_round_trip_and_a_versioned_write_two(raw: Any) -> None:
    keys, values = [f"key {number}" for number in range(1500)], [{"n": 1}] * 1500
    async with proxied(raw, timeout=60) as (proxy, first):
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
        stores = partial(MemcachedStore, host=proxy.host, port=proxy.port, timeout=60)
        took = await round_trips_through(proxy, stores, [call for call, _ in calls])
    assert took == [trips for _, trips in calls]
