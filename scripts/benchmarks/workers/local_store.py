"""Time a local store, of our packages or the predecessor.

    local_store.py STORE DIRECTORY          for each input line with an operation, print the seconds of one call
    local_store.py STORE DIRECTORY late     print the longest delay of a ticker during puts, one by one and concurrent
    local_store.py disk DIRECTORY SIZE      for a DiskStore with SIZE entries, print the seconds of a get of a random
                                            entry and the memory of a listing: {"get": …, "before": …, "peak": …,
                                            "after": …}

Exits at the end of its input.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from documents import SMALL
from process import PeakMemory, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_MEASURE_SECONDS = 0.1
_CONCURRENT_GETS, _BATCH_SIZE = 16, 100
_KEYS = [f"key-{number}" for number in range(1000)]
_VALUES = [{**SMALL, "n": number} for number in range(_BATCH_SIZE)]
_PUTS = 1000
_TICK_SECONDS = 0.001
_READS = 5000
_FILL_BATCH = 1000


def store_of(name: str, directory: Path) -> Any:
    directory.mkdir(exist_ok=True)
    if name == "disk":
        from key_value.aio.stores.disk import DiskStore

        return DiskStore(directory=directory)
    if name == "filetree":
        from key_value.aio.stores.filetree import FileTreeStore

        return FileTreeStore(data_directory=directory)
    if name == "rocksdb":
        from key_value.aio.stores.rocksdb import RocksDBStore

        return RocksDBStore(path=directory)
    if name == "chdb":
        from key_value.aio.stores.chdb import ChDBStore

        return ChDBStore(database_path=directory)
    from key_value.aio.stores.duckdb import DuckDBStore

    return DuckDBStore(database_path=directory / "store.db")


async def get(store: Any, number: int) -> None:
    await store.get(_KEYS[number % len(_KEYS)])


async def put(store: Any, number: int) -> None:
    await store.put(_KEYS[number % len(_KEYS)], SMALL)


async def concurrent_gets(store: Any, number: int) -> None:
    await asyncio.gather(*(get(store, number + each) for each in range(_CONCURRENT_GETS)))


async def concurrent_puts(store: Any, number: int) -> None:
    await asyncio.gather(*(put(store, number + each) for each in range(_BATCH_SIZE)))


async def get_many(store: Any, _: int) -> None:
    await store.get_many(_KEYS[:_BATCH_SIZE])


async def put_many(store: Any, _: int) -> None:
    await store.put_many(_KEYS[:_BATCH_SIZE], _VALUES)


OPERATIONS: dict[str, Callable[[Any, int], Awaitable[None]]] = {
    "get": get,
    "put": put,
    f"{_CONCURRENT_GETS} concurrent gets": concurrent_gets,
    f"{_BATCH_SIZE} concurrent puts": concurrent_puts,
    f"get_many {_BATCH_SIZE}": get_many,
    f"put_many {_BATCH_SIZE}": put_many,
}


async def time_each(store: Any) -> None:
    for key in _KEYS:
        await store.put(key, SMALL)
    calls: dict[str, int] = {}
    for line in sys.stdin:
        name = line.strip()
        operation = OPERATIONS[name]
        if name not in calls:
            started = time.perf_counter()
            await operation(store, 0)
            calls[name] = max(1, int(_MEASURE_SECONDS / (time.perf_counter() - started)))
        started = time.perf_counter()
        for number in range(calls[name]):
            await operation(store, number)
        print(json.dumps((time.perf_counter() - started) / calls[name]), flush=True)


async def longest_tick_delay(work: Awaitable[Any]) -> float:
    """Return the longest delay, in seconds, of a 1 ms ticker while the work is done."""
    longest_delay = 0.0

    async def tick() -> None:
        nonlocal longest_delay
        while True:
            due = time.perf_counter() + _TICK_SECONDS
            await asyncio.sleep(_TICK_SECONDS)
            longest_delay = max(longest_delay, time.perf_counter() - due)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(10 * _TICK_SECONDS)
    await work
    ticker.cancel()
    return longest_delay


async def tick_delays(store: Any) -> dict[str, float]:
    async def one_by_one() -> None:
        for number in range(_PUTS):
            await put(store, number)

    await put(store, 0)
    gc.collect()
    return {
        "one by one": await longest_tick_delay(one_by_one()),
        "at once": await longest_tick_delay(asyncio.gather(*(put(store, number) for number in range(_PUTS)))),
    }


async def at_size(store: Any, size: int) -> dict[str, float]:
    for start in range(0, size, _FILL_BATCH):
        keys = [f"key-{number}" for number in range(start, start + _FILL_BATCH)]
        await store.put_many(keys, [SMALL] * len(keys))
    any_order = random.Random(size)  # noqa: S311 — an order, not a secret
    keys = [f"key-{any_order.randrange(size)}" for _ in range(_READS)]
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        for key in keys:
            await store.get(key)
        best = min(best, (time.perf_counter() - started) / len(keys))
    gc.collect()
    before, peak = resident_bytes(), PeakMemory()
    listed = await store.keys()
    peak_bytes = peak.bytes
    gc.collect()
    return {"get": best, "keys": len(listed), "before": before, "peak": peak_bytes, "after": resident_bytes()}


async def main() -> None:
    name, directory, *how = sys.argv[1:]
    store = store_of(name, Path(directory))
    if not how:
        await time_each(store)
    elif how == ["late"]:
        print(json.dumps(await tick_delays(store)))
    else:
        print(json.dumps(await at_size(store, int(how[0]))))


if __name__ == "__main__":
    asyncio.run(main())
