"""Time a RedisStore and the same work written by hand on redis-py, taking turns.

Argument: the URL of a Redis server that nothing else uses. Prints {"operation @ concurrent callers": {"ours": seconds
between results, "by hand": the same, "p50" and "p99": seconds of our calls}}. A thousand callers are compared with a
hundred, "ours with fewer", instead of "by hand".
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING, Any, cast

from documents import LARGE, SMALL
from key_value.aio.stores.redis import RedisStore
from redis.asyncio import Redis

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    Call = Callable[[str], Awaitable[object]]
    Prepare = Callable[[], Awaitable[object]]

_ROUNDS = 15
# Number of concurrent callers → calls in a round.
_CALLS = {1: 100, 16: 480, 100: 1500}
# Callers. redis-py's pool raises beyond a hundred connections. A caller makes as many calls among many as among fewer.
_MANY, _FEWER, _CALLS_OF_MANY = 1000, 100, 15_000
_BATCH_CALLS = 32
_BATCH = 100
_TTL = 3600
_MEDIUM: dict[str, Any] = {"items": LARGE["rows of four fields"]["items"][:60]}


class ByHand:
    """Hand-written code on redis-py."""

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


class Load:
    """Concurrent callers that each make one call after another."""

    def __init__(self, call: Callable[[str], Awaitable[object]], keys: Sequence[str], callers: int, calls: int) -> None:
        self._call = call
        self._keys = itertools.cycle(keys)
        self._callers = callers
        self._calls = calls
        self.latencies: list[float] = []

    async def run(self) -> float:
        """Make the calls, and return the average seconds between results."""
        remaining = iter(range(self._calls))
        started = time.perf_counter()
        await asyncio.gather(*(self._use(remaining) for _ in range(self._callers)))
        return (time.perf_counter() - started) / self._calls

    async def _use(self, remaining: Iterator[int]) -> None:
        for _ in remaining:
            started = time.perf_counter()
            await self._call(next(self._keys))
            self.latencies.append(time.perf_counter() - started)


async def compare(
    ours: Load, other: Load, prepare: Prepare | None = None, *, name_of_other: str = "by hand"
) -> dict[str, float]:
    loads = [("ours", ours), (name_of_other, other)]
    samples: dict[str, list[float]] = {name: [] for name, _ in loads}
    for number in range(_ROUNDS):
        # Alternate the order, so that caches favour neither side.
        for name, load in loads[:: 1 if number % 2 else -1]:
            if prepare is not None:
                await prepare()
            samples[name].append(await load.run())
    percentiles = statistics.quantiles(ours.latencies, n=100)
    return {name: statistics.median(each) for name, each in samples.items()} | {
        "p50": percentiles[49],
        "p99": percentiles[98],
    }


class Comparison:
    def __init__(self, store: RedisStore, by_hand: ByHand) -> None:
        self._store = store
        self._by_hand = by_hand
        self._keys = [f"key-{number}" for number in range(_BATCH)]
        self._values = [{**SMALL, "n": number} for number in range(_BATCH)]

    async def measure(self) -> dict[str, dict[str, float]]:
        """Return, for each operation and number of concurrent callers such as "get @ 16", the seconds of a call."""
        await self._fill()
        results = await self._single() | await self._batches()
        await self._fill(_MEDIUM)
        return results | await self._medium()

    async def _fill(self, value: dict[str, Any] = SMALL) -> None:
        for each in (self._store, self._by_hand):
            await each.put_many(self._keys, [value] * _BATCH)

    async def _single(self) -> dict[str, dict[str, float]]:
        store, hand = self._store, self._by_hand
        pairs: dict[str, tuple[Call, Call]] = {
            "get": (store.get, hand.get),
            "put": (lambda key: store.put(key, SMALL), lambda key: hand.put(key, SMALL)),
            "put ttl": (lambda key: store.put(key, SMALL, ttl=_TTL), lambda key: hand.put(key, SMALL, _TTL)),
        }
        keys = self._keys
        results = {
            f"{name} @ {callers}": await compare(Load(ours, keys, callers, calls), Load(by_hand, keys, callers, calls))
            for name, (ours, by_hand) in pairs.items()
            for callers, calls in _CALLS.items()
        }
        for name, (ours, _) in pairs.items():
            many, fewer = (
                Load(ours, keys, _MANY, _CALLS_OF_MANY),
                Load(ours, keys, _FEWER, _CALLS[_FEWER]),
            )
            results[f"{name} @ {_MANY}"] = await compare(many, fewer, name_of_other="ours with fewer")
        delete = Load(store.delete, keys, 1, _BATCH), Load(hand.delete, keys, 1, _BATCH)
        results["delete @ 1"] = await compare(*delete, self._fill)
        await self._fill()
        return results

    async def _batches(self) -> dict[str, dict[str, float]]:
        store, hand, keys, values = self._store, self._by_hand, self._keys, self._values
        pairs: dict[str, tuple[Call, Call]] = {
            "get_many": (lambda _: store.get_many(keys), lambda _: hand.get_many(keys)),
            "put_many": (lambda _: store.put_many(keys, values), lambda _: hand.put_many(keys, values)),
            "put_many ttl": (
                lambda _: store.put_many(keys, values, ttl=_TTL),
                lambda _: hand.put_many_ttl(keys, values),
            ),
        }
        results = {
            f"{name} @ {callers}": await compare(
                Load(ours, keys, callers, _BATCH_CALLS), Load(by_hand, keys, callers, _BATCH_CALLS), self._fill
            )
            for name, (ours, by_hand) in pairs.items()
            for callers in (1, 16)
        }
        # A single call per round: afterwards the entries are gone.
        results["delete_many @ 1"] = await compare(
            Load(lambda _: store.delete_many(keys), keys, 1, 1),
            Load(lambda _: hand.delete_many(keys), keys, 1, 1),
            self._fill,
        )
        return results

    async def _medium(self) -> dict[str, dict[str, float]]:
        store, hand = self._store, self._by_hand
        pairs: dict[str, tuple[Call, Call]] = {
            "get 5 KB": (store.get, hand.get),
            "put 5 KB": (lambda key: store.put(key, _MEDIUM), lambda key: hand.put(key, _MEDIUM)),
        }
        return {
            f"{name} @ 1": await compare(Load(ours, self._keys, 1, _BATCH), Load(by_hand, self._keys, 1, _BATCH))
            for name, (ours, by_hand) in pairs.items()
        }


async def main() -> None:
    url = sys.argv[1]
    client = cast("Any", Redis).from_url(url)
    async with RedisStore(url=url) as store:
        print(json.dumps(await Comparison(store, ByHand(client)).measure()))
    await client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
