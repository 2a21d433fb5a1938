"""Fill MemoryStores of a thousand to a million entries; then put a million that expire after a second, twice.

Prints {"seconds": {entries: {operation: seconds for one call}}, "bytes_per_entry": …, "expiring": [one a round:
{"before": …, "peak": …, "after": …, "blocks_before": …, "blocks_after": …, "keys": …}]}.
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
_LEAST_CALLS = 100_000
_LEAST_ROUNDS = 2
_MILLION = 1_000_000
_EXPIRING_ROUNDS = 2
_WITHIN_SECONDS = 15
_TICK = 0.2


async def seconds_for(calls: Iterable[Awaitable[object]]) -> float:
    started = time.perf_counter()
    for call in calls:
        await call
    return time.perf_counter() - started


class PlainDict:
    """The least there could be: what becomes slower here, the processor's caches make slower."""

    def __init__(self) -> None:
        self._texts: dict[str, bytes] = {}

    async def put(self, key: str, value: dict[str, Any]) -> None:
        self._texts[key] = json.dumps(value).encode()

    async def get(self, key: str) -> dict[str, Any]:
        return json.loads(self._texts[key])


async def seconds_at(size: int) -> dict[str, float]:
    """Of one call: filling a store, reading all of it in the order it was filled and in any, filling with a ttl."""
    keys = [f"key-{number}" for number in range(size)]
    shuffled = random.Random(size).sample(keys, size)  # noqa: S311 — an order, not a secret
    best: defaultdict[str, float] = defaultdict(lambda: float("inf"))
    for _ in range(max(_LEAST_ROUNDS, _LEAST_CALLS // size)):
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
            await asyncio.sleep(0)  # as any program that does something between two puts
    # Waits, and touches nothing: entries must go by themselves.
    for _ in range(int(_WITHIN_SECONDS / _TICK)):
        if sys.getallocatedblocks() <= blocks_before + _MILLION // 100:
            break
        await asyncio.sleep(_TICK)
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
        await store.keys()  # what it imports at its first call is not what is measured
        print(json.dumps([await put_expiring(store) for _ in range(_EXPIRING_ROUNDS)]))
    elif sys.argv[1] == "memory":
        print(json.dumps(await bytes_per_entry()))
    else:
        print(json.dumps({size: await seconds_at(size) for size in _SIZES}))


if __name__ == "__main__":
    asyncio.run(main())
