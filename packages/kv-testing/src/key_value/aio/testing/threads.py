"""Threads that use one store at the same time, each with its own event loop."""

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from key_value.aio.testing.running import AsyncTests, closed_after

__all__ = ["in_threads"]

T = TypeVar("T")


def in_threads(
    tests: AsyncTests, store: object, work: Callable[[int], Coroutine[Any, Any, T]], threads: int = 4
) -> list[T]:
    """Run the work in several threads that start together, close the store, and return the result of each thread."""
    barrier = Barrier(threads, timeout=tests.time_limit)

    def run(thread: int) -> T:
        barrier.wait()
        return tests.run(work(thread))

    try:
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(run, range(threads)))
    finally:
        tests.run(closed_after(store, _nothing()))


async def _nothing() -> None:
    pass
