"""Requests to a service: retried where that is safe, and run concurrently where there are many."""

import random
from asyncio import Event, Semaphore, ensure_future, gather, get_running_loop, sleep, wait_for
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["InFlightCalls", "Sender", "map_concurrently", "run_workers", "waited"]

T = TypeVar("T")
R = TypeVar("R")

# Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
_MIN_BACKOFF_SECONDS, _MAX_BACKOFF_SECONDS = 0.05, 2.0
_MAX_ATTEMPTS = 10


class Sender:
    """Sends requests with limited concurrency in one event loop."""

    def __init__(
        self,
        at_once: int,
        *,
        service_error: type[Exception],
        lost_connection: type[Exception] | tuple[type[Exception], ...],
        was_not_executed: Callable[[Any], bool],
        is_unavailable: Callable[[Any], bool],
    ) -> None:
        """Send at most `at_once` requests at a time.

        The driver raises `service_error` for an error response and `lost_connection` if there is no response. For a
        `service_error`, `was_not_executed` returns whether the service has certainly not executed the request, and
        `is_unavailable` whether it failed and may have executed it.
        """
        self._free = Semaphore(at_once)
        self._service_error = service_error
        self._lost_connection = lost_connection
        self._was_not_done = was_not_executed
        self._is_unavailable = is_unavailable

    async def send(self, ask: Callable[[], Awaitable[T]], deadline: float | None, *, repeatable: bool) -> T:
        """Send a request and return the response.

        Until the deadline, in the loop's time, retries a request that the service has certainly not executed, and a
        `repeatable` one also if its outcome is unknown.
        """
        attempt = reconnections = 0
        while True:
            try:
                async with self._free:
                    return await ask()
            except self._lost_connection:  # noqa: PERF203 — a request takes milliseconds
                # The service may have closed an idle connection, which only a request detects.
                reconnections += 1
                if reconnections > 1 or not repeatable:
                    raise
            except self._service_error as error:
                if not (self._was_not_done(error) or (repeatable and self._is_unavailable(error))):
                    raise
                attempt += 1
                if not await waited(attempt, deadline):
                    raise


class InFlightCalls:
    """The calls in flight in one event loop, which closing waits for."""

    __slots__ = ("_count", "_idle")

    def __init__(self) -> None:
        self._count = 0
        self._idle = Event()
        self._idle.set()

    def begin(self) -> None:
        self._count += 1
        self._idle.clear()

    def end(self) -> None:
        self._count -= 1
        if not self._count:
            self._idle.set()

    async def wait(self, seconds: float) -> None:
        """Wait until no call is in flight, for at most `seconds`."""
        if self._count:
            with suppress(AsyncioTimeoutError):
                await wait_for(self._idle.wait(), seconds)


async def waited(attempt: int, deadline: float | None) -> bool:
    """Back off before the next attempt; return False immediately if attempts or time are exhausted."""
    seconds = random.uniform(0, min(_MAX_BACKOFF_SECONDS, _MIN_BACKOFF_SECONDS * 2**attempt))  # noqa: S311 — not a secret
    if attempt >= _MAX_ATTEMPTS or (deadline is not None and get_running_loop().time() + seconds > deadline):
        return False
    await sleep(seconds)
    return True


async def map_concurrently(handle: Callable[[T], Awaitable[R]], things: Iterable[T], at_once: int) -> "list[R]":
    """Call `handle` for each thing, at most `at_once` concurrently, and return the results in order.

    The first error cancels the other calls and is raised.
    """
    things = [*things]
    if len(things) <= 1:
        return [await handle(thing) for thing in things]
    results: dict[int, R] = {}
    numbered = iter(enumerate(things))

    async def work() -> None:
        for number, thing in numbered:
            results[number] = await handle(thing)

    await run_workers(work, min(at_once, len(things)))
    return [results[number] for number in range(len(things))]


async def run_workers(work: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    """Run `work` `count` times concurrently. The first error cancels the others and is raised."""
    workers = [ensure_future(work()) for _ in range(count)]
    try:
        await gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await gather(*workers, return_exceptions=True)
