"""Opening and closing a store's resources once, from any event loop or thread."""

import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from key_value.aio.core.forks import AcrossForks, leave_to_parent, new_lock

if TYPE_CHECKING:
    import asyncio

__all__ = ["Once", "OncePer", "PerLoop"]

T = TypeVar("T")

_CLOSING_SECONDS = 5.0
_INTERVAL_SECONDS = 0.05


class Once(AcrossForks):
    """Runs a coroutine function until it has succeeded once.

    The first caller runs it. Other callers wait, each in its own event loop, and share the outcome. After a failure the
    next caller tries again. If the running caller is cancelled, or its event loop stops or ends, a waiting one takes
    over. A forked child does not wait for the parent's run.
    """

    def __init__(self, *, in_each_process: bool = False) -> None:
        """With `in_each_process` a forked child runs it again, even if it had succeeded before."""
        super().__init__()
        self.done: bool = False
        self.begun: bool = False
        """Whether it has run at all, be it without success."""
        self._in_each_process = in_each_process
        self._lock = new_lock()
        self._attempt: _Attempt | None = None

    async def run(self, function: Callable[[], Awaitable[None]]) -> None:
        while not self.done:
            mine = _Attempt()
            with self._lock:
                if self.done:
                    return
                current = self._attempt
                if current is None or not current.goes_on:
                    current = self._attempt = mine
            if current is mine:
                await self._run(function, mine)
            else:
                await current.wait()

    async def _run(self, function: Callable[[], Awaitable[None]], attempt: "_Attempt") -> None:
        error: Exception | None = None
        self.begun = True
        try:
            await function()
            self.done = True
        except Exception as exc:
            error = exc
            raise
        finally:
            # Another caller may have taken over.
            if self._attempt is attempt:
                self._attempt = None
            # A cancelled attempt ends without an error: those who wait look again.
            attempt.end(error)

    def reset(self) -> None:
        """Run again at the next call."""
        self.done = False

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has run nothing yet."""
        return partial(Once, in_each_process=self._in_each_process), ()

    def after_fork_in_child(self) -> None:
        if self._attempt is not None:
            self._attempt.after_fork_in_child()
        self._attempt = None
        self.done = self.done and not self._in_each_process
        self.begun = self.begun and not self._in_each_process


class _Attempt:
    """One run of a function, in the event loop of whoever began it."""

    def __init__(self) -> None:
        from asyncio import get_running_loop
        from concurrent.futures import Future

        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):  # not asyncio's event loop
            self._loop = get_running_loop()
        self._thread = threading.get_ident()
        self._error: Future[Exception | None] = Future()

    @property
    def goes_on(self) -> bool:
        """Whether its event loop runs. One that was stopped may never go on."""
        return self._loop is not None and self._loop.is_running()

    def end(self, error: Exception | None) -> None:
        self._error.set_result(error)

    async def wait(self) -> None:
        """Until it has ended, or its event loop has. Raises what the function raised."""
        from asyncio import get_running_loop, wait, wrap_future

        outcome = wrap_future(self._error)
        # No event loop tells others that it has stopped. The own one runs whoever waits in it.
        interval = None if self._loop is get_running_loop() else _INTERVAL_SECONDS
        while not outcome.done() and self.goes_on:
            await wait([outcome], timeout=interval)
        error = outcome.result() if outcome.done() else None
        if error is not None:
            raise error

    def after_fork_in_child(self) -> None:
        # The event loop of another thread still says that it runs.
        if self._thread != threading.get_ident():
            self._loop = None


class OncePer(AcrossForks):
    """Runs a coroutine function until it has succeeded once for each name, in each process."""

    def __init__(self) -> None:
        super().__init__()
        self._done: set[str] = set()
        self._attempts: dict[str, Once] = {}

    def is_done(self, name: str) -> bool:
        return name in self._done

    async def run(self, name: str, function: Callable[[], Awaitable[None]]) -> None:
        await self._attempts.setdefault(name, Once()).run(function)
        self._done.add(name)
        self._attempts.pop(name, None)

    def reset(self, name: str | None = None) -> None:
        """Run again at the next call, for one name or for all."""
        if name is None:
            self._done.clear()
        else:
            self._done.discard(name)

    def after_fork_in_child(self) -> None:
        self._done = set()
        self._attempts = {}


class PerLoop(AcrossForks, Generic[T]):
    """One resource for each event loop, for drivers whose connections belong to the loop that opened them.

    A resource is closed by `close`, or when its loop ends as `asyncio.run` ends one. After a fork the child gets
    resources of its own, even in an event loop inherited from the parent.
    """

    def __init__(
        self,
        create: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        release: Callable[[T], None] | None = None,
        is_idle: Callable[[T], bool] | None = None,
    ) -> None:
        """`release` is rid of a resource whose loop cannot close it, because it was closed otherwise or stands still.

        It runs in `close`, and when another loop gets a resource: for loops that were closed, and with `is_idle` for
        those that stand still while nothing is under way.
        """
        from asyncio import get_running_loop

        super().__init__()
        self._create = create
        self._close = close
        self._release = release
        self._is_idle = is_idle
        self._get_running_loop = get_running_loop
        self._lock = new_lock()
        self._holders: dict[asyncio.AbstractEventLoop, AsyncGenerator[T, None]] = {}
        self._latest: tuple[asyncio.AbstractEventLoop, T] | None = None
        self._resources: dict[asyncio.AbstractEventLoop, T] = {}
        self._inherited: set[asyncio.AbstractEventLoop] = set()

    def get(self) -> T:
        """The resource of the running loop, created at its first use."""
        loop = self._get_running_loop()
        latest = self._latest
        if latest is not None and latest[0] is loop:
            return latest[1]
        with self._lock:
            if loop not in self._resources:
                self._release_unused()
                if loop in self._inherited:
                    self._inherited.remove(loop)
                    _replace_threads(loop)
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
                self._discard(loop)

    # An event loop closes the asynchronous generators that run in it before it ends.
    async def _hold(self, loop: "asyncio.AbstractEventLoop", resource: T) -> AsyncGenerator[T, None]:
        process = os.getpid()
        try:
            yield resource
        finally:
            if os.getpid() == process and self._resources.get(loop) is resource:
                self._forget(loop)
                await self._close(resource)

    def after_fork_in_child(self) -> None:
        # Closing a connection would take it out of the selector, which the parent's event loop shares.
        leave_to_parent((self._holders, self._resources))
        self._inherited.update(self._resources)
        self._latest, self._holders, self._resources = None, {}, {}

    def _release_unused(self) -> None:
        for loop, resource in list(self._resources.items()):
            stands_idle = self._is_idle is not None and not loop.is_running() and self._is_idle(resource)
            if self._release is not None and (loop.is_closed() or stands_idle):
                self._discard(loop)

    def _discard(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Be rid of the resource without its loop."""
        holder, resource = self._holders.get(loop), self._resources.get(loop)
        self._forget(loop)
        if self._release is not None and resource is not None:
            self._release(resource)
        if holder is not None:
            # It has nothing left to do. Collected unfinished, it would ask the loop to finish it.
            with suppress(StopIteration):
                holder.aclose().send(None)  # pyright: ignore[reportArgumentType] — which an event loop sends

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


def _replace_threads(loop: "asyncio.AbstractEventLoop") -> None:
    """Give an inherited loop, whose threads are the parent's, new ones to resolve host names with.

    Without them the first name that a driver asks for is waited for without end: the pool takes its threads to be idle.
    """
    from concurrent.futures import ThreadPoolExecutor

    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _finish(generator: AsyncGenerator[Any, None]) -> None:
    await generator.aclose()
