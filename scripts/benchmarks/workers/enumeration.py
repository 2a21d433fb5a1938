"""Measure what listing keys occupies.

    enumeration.py fill URL KEYS            store entries on a Redis server
    enumeration.py redis URL LIMIT          list the keys of that collection; all with a LIMIT of 0
    enumeration.py memory KEYS LIMIT        the same on a MemoryStore that is filled first

The latter two print {"keys": how many came, "seconds": …, "before": …, "peak": …, "after": …}, in bytes resident; after
is with the list still there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import TYPE_CHECKING

from documents import SMALL
from process import PeakMemory, resident_bytes

if TYPE_CHECKING:
    from key_value.aio.stores.base import BaseEnumerateKeysStore

_COLLECTION = "enumeration"
_BATCH = 1000


async def fill(store: BaseEnumerateKeysStore, size: int) -> None:
    for start in range(0, size, _BATCH):
        keys = [f"key-{number}" for number in range(start, min(size, start + _BATCH))]
        await store.put_many(keys, [SMALL] * len(keys), collection=_COLLECTION)


async def measure(store: BaseEnumerateKeysStore, limit: int) -> dict[str, float]:
    await store.keys("another", limit=1)  # connections and modules are not what is measured
    gc.collect()
    before, peak, started = resident_bytes(), PeakMemory(), time.perf_counter()
    keys = await store.keys(_COLLECTION, limit=limit or None)
    seconds = time.perf_counter() - started
    most = peak.bytes
    gc.collect()
    after = resident_bytes()
    return {"keys": len(set(keys)), "seconds": seconds, "before": before, "peak": most, "after": after}


async def main() -> None:
    action, *arguments = sys.argv[1:]
    if action == "memory":
        from key_value.aio.stores.memory import MemoryStore

        store = MemoryStore()
        await fill(store, int(arguments[0]))
        print(json.dumps(await measure(store, int(arguments[1]))))
        return
    from key_value.aio.stores.redis import RedisStore

    async with RedisStore(url=arguments[0]) as store:
        if action == "fill":
            await fill(store, int(arguments[1]))
            print("null")
        else:
            print(json.dumps(await measure(store, int(arguments[1]))))


if __name__ == "__main__":
    asyncio.run(main())
