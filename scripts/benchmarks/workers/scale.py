"""Measure MemoryStores with a thousand to a million entries. Argument: times, memory or expiring.

times       print {entries: {operation: seconds of one call}}
memory      print the bytes per entry
expiring    put a million entries that expire after a second, twice, and print for each round {"before": …,
            "peak": …, "after": …, "blocks_before": …, "blocks_after": …, "keys": …}
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from documents import SMALL
from key_value.aio.stores.memory import MemoryStore
from process import PeakMemory, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

_SIZES = (1_000, 10_000, 100_000, 1_000_000)
_MIN_CALLS = 100_000
_MIN_ROUNDS = 2
_MILLION = 1_000_000
_EXPIRING_ROUNDS = 2
_MAX_WAIT_SECONDS = 15
_POLL_SECONDS = 0.2


async def seconds_for(calls: Iterable[Awaitable[object]]) -> float:
    started = time.perf_counter()
    for call in calls:
        await call
    return time.perf_counter() - started


class PlainDict:
    """A minimal store as the baseline: if it slows down, the processor's caches are the cause."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    async def put(self, key: str, value: dict[str, Any]) -> None:
        self._texts[key] = json.dumps(value).encode()

    async def get(self, key: str) -> dict[str, Any]:
        return json.loads(self._texts[key])


async def seconds_at(size: int) -> dict[str, float]:
    """Return the seconds of one call: puts, gets in the same and in random order, and puts with a ttl."""
    keys = [f"key-{number}" for number in range(size)]
    shuffled = random.Random(size).sample(keys, size)  # noqa: S311 — an order, not a secret
    best: defaultdict[str, float] = defaultdict(lambda: float("inf"))
    for _ in range(max(_MIN_ROUNDS, _MIN_CALLS // size)):
        store, expiring, plain = MemoryStore(), MemoryStore(), PlainDict()
        rounds: dict[str, Iterable[Awaitable[object]]] = {
            "put": (store.put(key, SMALL) for key in keys),
            "get": (store.get(key) for key in keys),
            "get, in random order": (store.get(key) for key in shuffled),
            "put ttl": (expiring.put(key, SMALL, ttl=3600) for key in keys),
            "put in a dict of JSON text": (plain.put(key, SMALL) for key in keys),
            "get from it": (plain.get(key) for key in keys),
        }
        for name, calls in rounds.items():
            best[name] = min(best[name], await seconds_for(calls) / size)
    return dict(best)


async def bytes_per_entry() -> float:
    gc.collect()
    store, before = MemoryStore(), resident_bytes()
    for number in range(_MILLION):
        await store.put(f"key-{number}", SMALL)
    return (resident_bytes() - before) / _MILLION


async def put_expiring(store: MemoryStore) -> dict[str, int]:
    gc.collect()
    before, blocks_before, peak = resident_bytes(), sys.getallocatedblocks(), PeakMemory()
    for number in range(_MILLION):
        await store.put(f"key-{number}", SMALL, ttl=1)
        if number % 1000 == 0:
            await asyncio.sleep(0)  # like any program that does other work between puts
    # Wait without any call: entries must be removed without one.
    for _ in range(int(_MAX_WAIT_SECONDS / _POLL_SECONDS)):
        if sys.getallocatedblocks() <= blocks_before + _MILLION // 100:
            break
        await asyncio.sleep(_POLL_SECONDS)
    return {
        "before": before,
        "peak": peak.bytes,
        "after": resident_bytes(),
        "blocks_before": blocks_before,
        "blocks_after": sys.getallocatedblocks(),
        "keys": len(await store.keys()),
    }


async def main() -> None:
    if sys.argv[1] == "expiring":
        store = MemoryStore()
        await store.keys()  # exclude imports of the first call from the measurement
        print(json.dumps([await put_expiring(store) for _ in range(_EXPIRING_ROUNDS)]))
    elif sys.argv[1] == "memory":
        print(json.dumps(await bytes_per_entry()))
    else:
        print(json.dumps({size: await seconds_at(size) for size in _SIZES}))


if __name__ == "__main__":
    asyncio.run(main())
