"""Time stacks of wrappers, of our packages or the predecessor.

For each input line with a stack, a method and a value, print the seconds of one call. Exits at the end of its input.
With the argument "cold", print how many reads of the primary a hundred concurrent reads through an empty cache cause.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from cryptography.fernet import Fernet
from documents import LARGE, SMALL
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper
from key_value.aio.wrappers.limit_size import LimitSizeWrapper
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper
from key_value.aio.wrappers.statistics import StatisticsWrapper

_MEASURE_SECONDS = 0.05
_COLD_READS = 100


def stack_of(name: str) -> Any:
    if name == "Compression(Fernet)":
        return CompressionWrapper(FernetEncryptionWrapper(MemoryStore(), fernet=Fernet(Fernet.generate_key())))
    return StatisticsWrapper(LimitSizeWrapper(MemoryStore(), max_size=1_000_000))


async def call(store: Any, method: str, value: dict[str, Any]) -> None:
    if method == "get":
        await store.get("key")
    else:
        await store.put("key", value)


async def time_each() -> None:
    stacks: dict[str, Any] = {}
    calls: dict[str, int] = {}
    for line in sys.stdin:
        name, method, shape = line.strip().split(" ", 2)
        value = LARGE.get(shape, SMALL)
        if name + shape not in stacks:
            stacks[name + shape] = stack_of(name)
            await call(stacks[name + shape], "put", value)
        store = stacks[name + shape]
        if line not in calls:
            started = time.perf_counter()
            await call(store, method, value)
            calls[line] = max(1, int(_MEASURE_SECONDS / (time.perf_counter() - started)))
        started = time.perf_counter()
        for _ in range(calls[line]):
            await call(store, method, value)
        print(json.dumps((time.perf_counter() - started) / calls[line]), flush=True)


async def cold_reads() -> int:
    reads = 0

    class Primary(MemoryStore):
        async def _get_managed_entry(self, *, collection: str, key: str) -> Any:
            nonlocal reads
            reads += 1
            await asyncio.sleep(0.01)
            return await super()._get_managed_entry(collection=collection, key=key)

    primary = Primary()
    await primary.put("key", SMALL)
    store: Any = PassthroughCacheWrapper(primary, MemoryStore())
    await asyncio.gather(*(store.get("key") for _ in range(_COLD_READS)))
    return reads


async def main() -> None:
    if sys.argv[1:] == ["cold"]:
        print(json.dumps(await cold_reads()))
    else:
        await time_each()


if __name__ == "__main__":
    asyncio.run(main())
