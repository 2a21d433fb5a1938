"""Measure the memory used for listing keys.

    enumeration.py fill URL KEYS            store entries
    enumeration.py keys URL LIMIT           list the keys of that collection; a LIMIT of 0 means all
    enumeration.py memory KEYS LIMIT        the same on a MemoryStore, which is filled first
    enumeration.py iterate URL FUNCTION     iterate over the collection with iterate_keys or iterate_entries

All but the first print {"keys": number of keys, "seconds": …, "before": …, "peak": …, "after": …}, with resident memory
in bytes; "after" is measured while the list still exists.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import TYPE_CHECKING, TypeVar, cast

from documents import SMALL
from key_value.aio.core.iteration import iterate_entries, iterate_keys
from key_value.aio.urls import open_store
from process import PeakMemory, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from key_value.aio.stores.base import BaseScanStore

T = TypeVar("T")

_COLLECTION = "enumeration"
_BATCH = 1000


async def fill(store: BaseScanStore, size: int) -> None:
    for start in range(0, size, _BATCH):
        keys = [f"key-{count_keys}" for count_keys in range(start, min(size, start + _BATCH))]
        await store.put_many(keys, [SMALL] * len(keys), collection=_COLLECTION)


async def listed(store: BaseScanStore, limit: int) -> dict[str, float]:
    await store.keys("another", limit=1)
    return await measured(lambda: store.keys(_COLLECTION, limit=limit or None), lambda keys: len(set(keys)))


async def walked(store: BaseScanStore, function: str) -> dict[str, float]:
    iterate = {"iterate_keys": iterate_keys, "iterate_entries": iterate_entries}[function]

    async def count(collection: str) -> int:
        count_keys = 0
        async for _ in iterate(store, collection):
            count_keys += 1
        return count_keys

    await count("another")
    return await measured(lambda: count(_COLLECTION), int)


async def measured(call: Callable[[], Awaitable[T]], count_keys: Callable[[T], int]) -> dict[str, float]:
    """Measure the memory used by the call. A similar call before excludes connections and modules."""
    gc.collect()
    before, peak, started = resident_bytes(), PeakMemory(), time.perf_counter()
    result = await call()
    seconds = time.perf_counter() - started
    peak_bytes = peak.bytes
    gc.collect()
    after = resident_bytes()
    return {"keys": count_keys(result), "seconds": seconds, "before": before, "peak": peak_bytes, "after": after}


async def main() -> None:
    action, *arguments = sys.argv[1:]
    if action == "memory":
        from key_value.aio.stores.memory import MemoryStore

        store = MemoryStore()
        await fill(store, int(arguments[0]))
        print(json.dumps(await listed(store, int(arguments[1]))))
        return
    url, argument = arguments
    async with cast("BaseScanStore", open_store(url)) as store:
        if action == "fill":
            await fill(store, int(argument))
            print("null")
        else:
            print(json.dumps(await (listed(store, int(argument)) if action == "keys" else walked(store, argument))))


if __name__ == "__main__":
    asyncio.run(main())
