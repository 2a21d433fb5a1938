"""Cutting what is asked for into what one request takes."""

import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from key_value.aio.core.requests import work_together

__all__ = ["in_batches"]

# A request takes the CPU for milliseconds on this side, so that more of them only wait for each other.
_BATCHES_UNDER_WAY = 10


async def in_batches(
    things: Sequence[Any],
    size: int,
    handle: Callable[[Sequence[Any]], Coroutine[Any, Any, Any]],
    weigh: Callable[[Any], int] = lambda _: 0,
    heaviest: int = sys.maxsize,
) -> list[Any]:
    """What `handle` gives for each batch, a few at a time, in any order. The first error ends the others.

    A batch has at most `size` things, and more than one only if they weigh `heaviest` at most.
    """
    batches = _batches(things, size, weigh, heaviest)
    results: list[Any] = []

    async def work() -> None:
        for batch in batches:
            results.append(await handle(batch))  # noqa: PERF401 — several workers add to it

    if len(things) <= size:
        await work()
        return results
    await work_together(work, min(_BATCHES_UNDER_WAY, -(-len(things) // size)))
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
