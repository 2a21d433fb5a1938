"""Measure what listing keys occupies.

    enumeration.py fill URL KEYS            store entries
    enumeration.py keys URL LIMIT           list the keys of that collection; all with a LIMIT of 0
    enumeration.py memory KEYS LIMIT        the same on a MemoryStore that is filled first
    enumeration.py iterate URL WHAT         walk the collection with iterate_keys or iterate_entries

All but the first print {"keys": how many came, "seconds": …, "before": …, "peak": …, "after": …}, in bytes resident;
after is with the list still there.
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
        keys = [f"key-{number}" for number in range(start, min(size, start + _BATCH))]
        await store.put_many(keys, [SMALL] * len(keys), collection=_COLLECTION)


async def listed(store: BaseScanStore, limit: int) -> dict[str, float]:
    await store.keys("another", limit=1)
    return await measured(lambda: store.keys(_COLLECTION, limit=limit or None), lambda keys: len(set(keys)))


async def walked(store: BaseScanStore, what: str) -> dict[str, float]:
    iterate = {"iterate_keys": iterate_keys, "iterate_entries": iterate_entries}[what]

    async def count(collection: str) -> int:
        number = 0
        async for _ in iterate(store, collection):
            number += 1
        return number

    await count("another")
    return await measured(lambda: count(_COLLECTION), int)


async def measured(call: Callable[[], Awaitable[T]], number: Callable[[T], int]) -> dict[str, float]:
    """What the call occupies. Connections and modules do not count: something like it was called before."""
    gc.collect()
    before, peak, started = resident_bytes(), PeakMemory(), time.perf_counter()
    result = await call()
    seconds = time.perf_counter() - started
    most = peak.bytes
    gc.collect()
    after = resident_bytes()
    return {"keys": number(result), "seconds": seconds, "before": before, "peak": most, "after": after}


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
