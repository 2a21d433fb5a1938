"""Time operations of a MemoryStore, of our packages or the predecessor.

For each input line with an operation, print the seconds of one call, on average over a few milliseconds. Exits at the
end of its input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from documents import LARGE, SMALL
from key_value.aio.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_MEASURE_SECONDS = 0.02
_BATCH = 100
_KEYS = [f"key-{number}" for number in range(1000)]
_TTL = 3600


class Operations:
    def __init__(self) -> None:
        self.store = MemoryStore()
        self.values = [{**SMALL, "n": number} for number in range(_BATCH)]

    async def prepare(self) -> None:
        for key in _KEYS:
            await self.store.put(key, SMALL)
        for shape, value in LARGE.items():
            await self.store.put(shape, value)

    def named(self, name: str) -> Callable[[int], Awaitable[None]]:
        method, _, shape = name.partition(" ")
        if shape in LARGE:
            return self.get_one(shape) if method == "get" else self.put_one(shape)
        return {
            "get": self.get,
            "put": self.put,
            "put ttl": self.put_ttl,
            "get_many": self.get_many,
            "put_many": self.put_many,
        }[name]

    async def get(self, calls: int) -> None:
        for number in range(calls):
            await self.store.get(_KEYS[number % 1000])

    async def put(self, calls: int) -> None:
        for number in range(calls):
            await self.store.put(_KEYS[number % 1000], SMALL)

    async def put_ttl(self, calls: int) -> None:
        for number in range(calls):
            await self.store.put(_KEYS[number % 1000], SMALL, ttl=_TTL)

    async def get_many(self, calls: int) -> None:
        for _ in range(calls):
            await self.store.get_many(_KEYS[:_BATCH])

    async def put_many(self, calls: int) -> None:
        for _ in range(calls):
            await self.store.put_many(_KEYS[:_BATCH], self.values)

    def get_one(self, shape: str) -> Callable[[int], Awaitable[None]]:
        async def get(calls: int) -> None:
            for _ in range(calls):
                await self.store.get(shape)

        return get

    def put_one(self, shape: str) -> Callable[[int], Awaitable[None]]:
        value: dict[str, Any] = LARGE[shape]

        async def put(calls: int) -> None:
            for _ in range(calls):
                await self.store.put(shape, value)

        return put


async def main() -> None:
    operations = Operations()
    await operations.prepare()
    calls: dict[str, int] = {}
    for line in sys.stdin:
        name = line.strip()
        operation = operations.named(name)
        if name not in calls:
            started = time.perf_counter()
            await operation(10)
            calls[name] = max(1, int(10 * _MEASURE_SECONDS / (time.perf_counter() - started)))
        started = time.perf_counter()
        await operation(calls[name])
        print(json.dumps((time.perf_counter() - started) / calls[name]), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
