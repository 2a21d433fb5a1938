"""Splitting an operation on many items into requests of limited size."""

import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from key_value.aio.core.requests import run_workers

__all__ = ["in_batches"]

# Each request takes milliseconds of CPU time in this process, so more of them would only wait for each other.
_MAX_BATCHES_IN_FLIGHT = 10


async def in_batches(
    things: Sequence[Any],
    size: int,
    handle: Callable[[Sequence[Any]], Coroutine[Any, Any, Any]],
    weigh: Callable[[Any], int] = lambda _: 0,
    heaviest: int = sys.maxsize,
) -> list[Any]:
    """Call `handle` with each batch, up to 10 concurrently, and return the results in any order.

    A batch has at most `size` things with a total weight of at most `heaviest`, or a single heavier one. The first
    error cancels the other calls and is raised.
    """
    batches = _batches(things, size, weigh, heaviest)
    results: list[Any] = []

    async def work() -> None:
        for batch in batches:
            results.append(await handle(batch))  # noqa: PERF401 — several workers add to it

    if len(things) <= size:
        await work()
        return results
    await run_workers(work, min(_MAX_BATCHES_IN_FLIGHT, -(-len(things) // size)))
    return results


def _batches(things: Sequence[Any], size: int, weigh: Callable[[Any], int], heaviest: int) -> Iterator[list[Any]]:
    batch: list[Any] = []
    total = 0
    for thing in things:
        weight = weigh(thing)
        if len(batch) == size or (batch and total + weight > heaviest):
            yield batch
            batch, total = [], 0
        batch.append(thing)
        total += weight
    if batch:
        yield batch
