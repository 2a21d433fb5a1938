"""Time a store on a server and the same work written by hand on the native client, taking turns."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from typing import TYPE_CHECKING, Any, Protocol

from documents import SMALL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    Run = Callable[[], Awaitable[object]]

__all__ = ["ByHand", "compare"]

Value = dict[str, Any]

_ROUNDS = 25
_CONCURRENT_CALLERS = 16
_CALLS = 320
_BATCHES = 4
_BATCH = 100


class ByHand(Protocol):
    """Hand-written code on the native client. If there are several ways to do a batch, the fastest counts."""

    async def get(self, key: str) -> Value | None: ...

    async def put(self, key: str, value: Value) -> None: ...

    def ways_to_get_many(self) -> Sequence[Callable[[Sequence[str]], Awaitable[list[Value | None]]]]: ...

    def ways_to_put_many(self) -> Sequence[Callable[[Sequence[str], Sequence[Value]], Awaitable[object]]]: ...


async def compare(store: Any, by_hand: ByHand) -> None:
    """Print {operation: [seconds with the store, seconds by hand]}: medians, for a single call or a batch of 100."""
    keys = [f"key-{number}" for number in range(_CALLS)]
    batch, values = keys[:_BATCH], [{**SMALL, "n": number} for number in range(_BATCH)]
    await store.put_many(batch, values)
    for put_many in by_hand.ways_to_put_many():
        await put_many(batch, values)
    for get_many in by_hand.ways_to_get_many():
        if await get_many(batch) != values or await store.get_many(batch) != values:
            message = "the store and the hand-written code return different values"
            raise RuntimeError(message)
    results = {
        "put": await _medians(
            _at_once(lambda key: store.put(key, SMALL), keys),
            [_at_once(lambda key: by_hand.put(key, SMALL), keys)],
        ),
        "get": await _medians(_at_once(store.get, keys), [_at_once(by_hand.get, keys)]),
        "put_many": await _medians(
            _batches(lambda: store.put_many(batch, values)),
            [_batches(lambda way=way: way(batch, values)) for way in by_hand.ways_to_put_many()],
        ),
        "get_many": await _medians(
            _batches(lambda: store.get_many(batch)),
            [_batches(lambda way=way: way(batch)) for way in by_hand.ways_to_get_many()],
        ),
    }
    print(json.dumps(results))


async def _medians(ours: Callable[[], Awaitable[float]], by_hand: list[Callable[[], Awaitable[float]]]) -> Any:
    samples: list[list[float]] = [[] for _ in (ours, *by_hand)]
    for number in range(_ROUNDS):
        turns = list(enumerate([ours, *by_hand]))
        # Alternate the order, so that caches favour neither side.
        for who, take_turn in turns if number % 2 else reversed(turns):
            samples[who].append(await take_turn())
    own, *others = map(statistics.median, samples)
    return own, min(others)


def _at_once(call: Callable[[str], Awaitable[object]], keys: Sequence[str]) -> Callable[[], Awaitable[float]]:
    async def use(mine: Sequence[str]) -> None:
        for key in mine:
            await call(key)

    async def run() -> float:
        started = time.perf_counter()
        await asyncio.gather(*(use(keys[user::_CONCURRENT_CALLERS]) for user in range(_CONCURRENT_CALLERS)))
        return (time.perf_counter() - started) / len(keys)

    return run


def _batches(call: Run) -> Callable[[], Awaitable[float]]:
    async def run() -> float:
        started = time.perf_counter()
        for _ in range(_BATCHES):
            await call()
        return (time.perf_counter() - started) / _BATCHES

    return run
