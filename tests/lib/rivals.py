"""Concurrent stores on the same data in one process, each with its own thread and event loop."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

RACES = ["put_if_absent", "put_if_version", "delete", "delete_many", "delete_if_version"]


def at_once(open_store: Callable[[], Any], times: int, act: Callable[[Any, int], Awaitable[Any]]) -> list[Any]:
    """Run `act` in `times` concurrent stores, and return the results."""
    barrier = threading.Barrier(times)

    async def run(number: int) -> Any:
        async with open_store() as store:
            barrier.wait(60)
            return await act(store, number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(asyncio.run, map(run, range(times))))


def count_up(open_store: Callable[[], Any], writers: int, increments: int) -> None:
    """Increment `n` of the entry `a`: each writer `increments` times."""

    async def count(store: Any, _: int) -> None:
        for _ in range(increments):
            stored = False
            while not stored:
                value, _ttl, version = await store.get_versioned("a")
                stored = await store.put_if_version("a", {"n": 1 + (value["n"] if value else 0)}, version)

    at_once(open_store, writers, count)


def winners(open_store: Callable[[], Any], times: int, what: str) -> int:
    """Run one of the RACES for the entry `a` with `times` concurrent stores, and return how many succeed."""

    async def prepare() -> str:
        async with open_store() as store:
            if what != "put_if_absent":
                await store.put("a", {"n": 1})
            return (await store.get_versioned("a")).version or ""

    version = asyncio.run(prepare())

    return sum(at_once(open_store, times, lambda store, number: attempt(store, what, number, version)))


async def attempt(store: Any, what: str, number: int, version: str) -> bool:
    """Run one of the RACES for the entry `a`, which has this version, and return whether it succeeds."""
    if what == "put_if_absent":
        return await store.put_if_absent("a", {"n": number})
    if what == "put_if_version":
        return await store.put_if_version("a", {"n": number}, version)
    if what == "delete_if_version":
        return await store.delete_if_version("a", version)
    return bool(await (store.delete("a") if what == "delete" else store.delete_many(["a"])))


async def winners_of(stores: list[Any], what: str, version: str) -> int:
    """Run one of the RACES for the entry `a` with the open stores; close them and return how many succeed."""
    won = await asyncio.gather(*(attempt(store, what, number, version) for number, store in enumerate(stores)))
    await asyncio.gather(*(store.close() for store in stores))
    return sum(won)


async def version_of(store: Any, key: str) -> str:
    version = (await store.get_versioned(key)).version
    assert version is not None
    return version


async def all_keys(store: Any, limit: int, prefix: str = "") -> list[str]:
    """Return the keys of all pages."""
    keys: list[str] = []
    cursor = None
    while True:
        page = await store.scan(prefix=prefix, cursor=cursor, limit=limit)
        keys += page.keys
        cursor = page.cursor
        if cursor is None:
            return keys
