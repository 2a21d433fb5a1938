"""Requests to a service: repeated where that is safe, and several at once where there are many."""

import random
from asyncio import Event, Semaphore, ensure_future, gather, get_running_loop, sleep, wait_for
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Sender", "UnderWay", "map_together", "waited", "work_together"]

T = TypeVar("T")
R = TypeVar("R")

# Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0
_ATTEMPTS = 10


class Sender:
    """Sends requests, so many at once, in one event loop."""

    def __init__(
        self,
        at_once: int,
        *,
        service_error: type[Exception],
        lost_connection: type[Exception] | tuple[type[Exception], ...],
        was_not_done: Callable[[Any], bool],
        is_unavailable: Callable[[Any], bool],
    ) -> None:
        """`service_error` is the class of an answer with an error, `lost_connection` of there being no answer.

        `was_not_done` says of a `service_error` whether the service has surely done nothing, `is_unavailable` whether
        it failed and may have done it.
        """
        self._free = Semaphore(at_once)
        self._service_error = service_error
        self._lost_connection = lost_connection
        self._was_not_done = was_not_done
        self._is_unavailable = is_unavailable

    async def send(self, ask: Callable[[], Awaitable[T]], deadline: float | None, *, repeatable: bool) -> T:
        """The answer. What the service has surely not done is asked for again, until the deadline in the loop's time.

        What is `repeatable` is also asked for again when nobody knows whether it was done.
        """
        attempt = reconnections = 0
        while True:
            try:
                async with self._free:
                    return await ask()
            except self._lost_connection:  # noqa: PERF203 — a request takes milliseconds
                # One that the service has closed while nobody used it, which shows only now.
                reconnections += 1
                if reconnections > 1 or not repeatable:
                    raise
            except self._service_error as error:
                if not (self._was_not_done(error) or (repeatable and self._is_unavailable(error))):
                    raise
                attempt += 1
                if not await waited(attempt, deadline):
                    raise


class UnderWay:
    """The calls of one event loop that are not done yet, for which closing waits."""

    __slots__ = ("_count", "_none")

    def __init__(self) -> None:
        self._count = 0
        self._none = Event()
        self._none.set()

    def begin(self) -> None:
        self._count += 1
        self._none.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def wait(self, seconds: float) -> None:
        """Until there are none, but not longer than this."""
        if self._count:
            with suppress(AsyncioTimeoutError):
                await wait_for(self._none.wait(), seconds)


async def waited(attempt: int, deadline: float | None) -> bool:
    """Wait before the next attempt; False, at once, when there is to be none."""
    seconds = random.uniform(0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt))  # noqa: S311 — not a secret
    if attempt >= _ATTEMPTS or (deadline is not None and get_running_loop().time() + seconds > deadline):
        return False
    await sleep(seconds)
    return True


async def map_together(handle: Callable[[T], Awaitable[R]], things: Iterable[T], at_once: int) -> "list[R]":
    """What `handle` gives for each, in order, so many at once. The first error ends the others."""
    things = [*things]
    if len(things) <= 1:
        return [await handle(thing) for thing in things]
    results: dict[int, R] = {}
    numbered = iter(enumerate(things))

    async def work() -> None:
        for number, thing in numbered:
            results[number] = await handle(thing)

    await work_together(work, min(at_once, len(things)))
    return [results[number] for number in range(len(things))]


async def work_together(work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    """Run so many at once. The first error ends the others."""
    workers = [ensure_future(work()) for _ in range(count)]
    try:
        await gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await gather(*workers, return_exceptions=True)
