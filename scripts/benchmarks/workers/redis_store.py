"""Time a RedisStore and the same work written by hand on redis-py, taking turns.

Argument: the URL of a Redis server that nothing else uses. Prints {operation: [seconds ours, seconds by hand]}, the
medians for one call.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from documents import LARGE, SMALL
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Call = Callable[[str], Awaitable[object]]
    BatchCall = Callable[[Sequence[str]], Awaitable[object]]

_ROUNDS = 120
_SINGLE_CALLS = 25
_BATCH_CALLS = 4
_BATCH = 100
_TTL = 3600
_MEDIUM: dict[str, Any] = {"items": LARGE["rows of four fields"]["items"][:60]}


class ByHand:
    """What an application writes that has no store."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, key: str) -> dict[str, Any] | None:
        text = await self._client.get(key)
        return None if text is None else json.loads(text)

    async def put(self, key: str, value: dict[str, Any], ttl: int | None = None) -> None:
        await self._client.set(key, json.dumps(value), ex=ttl)

    async def delete(self, key: str) -> bool:
        return bool(await self._client.delete(key))

    async def get_many(self, keys: Sequence[str]) -> list[dict[str, Any] | None]:
        return [None if text is None else json.loads(text) for text in await self._client.mget(keys)]

    async def put_many(self, keys: Sequence[str], values: Sequence[dict[str, Any]]) -> None:
        await self._client.mset({key: json.dumps(value) for key, value in zip(keys, values, strict=True)})

    async def put_many_ttl(self, keys: Sequence[str], values: Sequence[dict[str, Any]]) -> None:
        pipeline = self._client.pipeline()
        for key, value in zip(keys, values, strict=True):
            pipeline.set(key, json.dumps(value), ex=_TTL)
        await pipeline.execute()

    async def delete_many(self, keys: Sequence[str]) -> int:
        return await self._client.unlink(*keys)


async def singly(call: Call, keys: Sequence[str]) -> float:
    started = time.perf_counter()
    for key in keys:
        await call(key)
    return (time.perf_counter() - started) / len(keys)


async def together(call: BatchCall, keys: Sequence[str]) -> float:
    started = time.perf_counter()
    for start in range(0, len(keys), _BATCH):
        await call(keys[start : start + _BATCH])
    return (time.perf_counter() - started) * _BATCH / len(keys)


async def medians(
    ours: Callable[[], Awaitable[float]],
    by_hand: Callable[[], Awaitable[float]],
    prepare: Callable[[], Awaitable[object]],
) -> tuple[float, float]:
    samples: tuple[list[float], list[float]] = ([], [])
    for number in range(_ROUNDS):
        # Who goes first would otherwise always find the caches as the other left them.
        for who in (0, 1) if number % 2 else (1, 0):
            await prepare()
            samples[who].append(await (ours, by_hand)[who]())
    return statistics.median(samples[0]), statistics.median(samples[1])


async def measure(store: RedisStore, by_hand: ByHand) -> dict[str, tuple[float, float]]:
    keys = [f"key-{number}" for number in range(_BATCH * _BATCH_CALLS)]
    few, values = keys[:_SINGLE_CALLS], [{**SMALL, "n": number} for number in range(_BATCH)]

    async def fill(value: dict[str, Any] = SMALL) -> None:
        for start in range(0, len(keys), _BATCH):
            batch = keys[start : start + _BATCH]
            await store.put_many(batch, [value] * _BATCH)
            await by_hand.put_many(batch, [value] * _BATCH)

    async def nothing() -> None: ...

    def single(
        ours: Call, hand: Call, prepare: Callable[[], Awaitable[object]] = nothing
    ) -> Awaitable[tuple[float, float]]:
        return medians(lambda: singly(ours, few), lambda: singly(hand, few), prepare)

    def batch(
        ours: BatchCall, hand: BatchCall, prepare: Callable[[], Awaitable[object]] = nothing
    ) -> Awaitable[tuple[float, float]]:
        return medians(lambda: together(ours, keys), lambda: together(hand, keys), prepare)

    await fill()
    results = {
        "get": await single(store.get, by_hand.get),
        "put": await single(lambda key: store.put(key, SMALL), lambda key: by_hand.put(key, SMALL)),
        "put ttl": await single(lambda key: store.put(key, SMALL, ttl=_TTL), lambda key: by_hand.put(key, SMALL, _TTL)),
        "delete": await single(store.delete, by_hand.delete, fill),
    }
    await fill()
    results |= {
        "get_many": await batch(store.get_many, by_hand.get_many),
        "put_many": await batch(lambda keys: store.put_many(keys, values), lambda keys: by_hand.put_many(keys, values)),
        "put_many ttl": await batch(
            lambda keys: store.put_many(keys, values, ttl=_TTL), lambda keys: by_hand.put_many_ttl(keys, values)
        ),
        "delete_many": await batch(store.delete_many, by_hand.delete_many, fill),
    }
    await fill(_MEDIUM)
    return results | {
        "get, 5 KB": await single(store.get, by_hand.get),
        "put, 5 KB": await single(lambda key: store.put(key, _MEDIUM), lambda key: by_hand.put(key, _MEDIUM)),
    }


async def main() -> None:
    url = sys.argv[1]
    client = cast("Any", Redis).from_url(url)
    async with RedisStore(url=url) as store:
        print(json.dumps(await measure(store, ByHand(client))))
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
