"""Opening and closing what a store needs, whoever asks first and from whichever event loop or thread."""

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    import asyncio
    from concurrent.futures import Future

__all__ = ["Once", "PerLoop"]

T = TypeVar("T")

_CLOSING_SECONDS = 5.0


class Once:
    """Runs a coroutine function until it has succeeded once.

    The first caller runs it. Callers that come meanwhile wait, each in its own event loop, and share the outcome.
    After a failure the next caller tries again; when the caller that runs it is cancelled, one that waits takes over.
    """

    def __init__(self) -> None:
        self.done = False
        self._lock = threading.Lock()
        self._attempt: Future[None] | None = None

    async def run(self, function: Callable[[], Awaitable[None]]) -> None:
        from asyncio import shield, wrap_future
        from concurrent.futures import Future

        while not self.done:
            mine: Future[None] = Future()
            with self._lock:
                current = self._attempt
                if current is None and not self.done:
                    self._attempt = mine
            if self._attempt is mine:
                await self._run(function, mine)
            elif current is not None:
                await shield(wrap_future(current))

    async def _run(self, function: Callable[[], Awaitable[None]], attempt: "Future[None]") -> None:
        error: Exception | None = None
        try:
            await function()
            self.done = True
        except Exception as exc:
            error = exc
            raise
        finally:
            self._attempt = None
            # A cancelled attempt ends without an error: those who wait look again.
            if error is None:
                attempt.set_result(None)
            else:
                attempt.set_exception(error)

    def reset(self) -> None:
        """Run again at the next call."""
        self.done = False


class PerLoop(Generic[T]):
    """One resource for each event loop, for drivers whose connections belong to the loop that opened them.

    A resource is closed by `close`, or when its loop ends as `asyncio.run` ends one.
    """

    def __init__(self, create: Callable[[], T], close: Callable[[T], Awaitable[None]]) -> None:
        from asyncio import get_running_loop

        self._create = create
        self._close = close
        self._get_running_loop = get_running_loop
        self._lock = threading.Lock()
        self._holders: dict[asyncio.AbstractEventLoop, AsyncGenerator[T, None]] = {}
        self._latest: tuple[asyncio.AbstractEventLoop, T] | None = None
        self._resources: dict[asyncio.AbstractEventLoop, T] = {}

    def get(self) -> T:
        """The resource of the running loop, created at its first use."""
        loop = self._get_running_loop()
        latest = self._latest
        if latest is not None and latest[0] is loop:
            return latest[1]
        with self._lock:
            if loop not in self._resources:
                self._resources[loop] = self._create()
                self._holders[loop] = _started(self._hold(loop, self._resources[loop]))
            self._latest = (loop, self._resources[loop])
            return self._latest[1]

    async def close(self) -> None:
        """Close every resource in the loop it belongs to. The next `get` creates a new one."""
        from asyncio import TimeoutError as AsyncioTimeoutError
        from asyncio import run_coroutine_threadsafe, wait_for, wrap_future

        for loop, holder in list(self._holders.items()):
            if loop is self._get_running_loop():
                await holder.aclose()
            elif loop.is_running():
                # A loop that ends at this moment never runs it, and closes its resource by itself.
                with suppress(AsyncioTimeoutError):
                    await wait_for(wrap_future(run_coroutine_threadsafe(_finish(holder), loop)), _CLOSING_SECONDS)
            else:
                self._forget(loop)

    # An event loop closes the asynchronous generators that run in it before it ends.
    async def _hold(self, loop: "asyncio.AbstractEventLoop", resource: T) -> AsyncGenerator[T, None]:
        try:
            yield resource
        finally:
            self._forget(loop)
            await self._close(resource)

    def _forget(self, loop: "asyncio.AbstractEventLoop") -> None:
        with self._lock:
            self._latest = None
            self._resources.pop(loop, None)
            self._holders.pop(loop, None)


def _started(generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Run the generator to its first `yield`, before which it awaits nothing."""
    with suppress(StopIteration):
        generator.asend(None).send(None)  # pyright: ignore[reportArgumentType]
    return generator


async def _finish(generator: AsyncGenerator[Any, None]) -> None:
    await generator.aclose()
