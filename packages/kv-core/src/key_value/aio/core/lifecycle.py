"""Opening and closing a store's resources once, from any event loop or thread."""

import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from key_value.aio.core.forks import ForkAware, leave_to_parent, new_lock

if TYPE_CHECKING:
    import asyncio

__all__ = ["Once", "OncePer", "PerLoop"]

T = TypeVar("T")

_CLOSE_TIMEOUT_SECONDS = 5.0
_POLL_INTERVAL_SECONDS = 0.05


class Once(ForkAware):
    """Runs a coroutine function until it has succeeded once.

    The first caller runs it. Other callers wait, each in its own event loop, and share the outcome. After a failure the
    next caller tries again. If the running caller is cancelled, or its event loop stops or closes, a waiting one takes
    over. A forked child does not wait for a run of the parent.
    """

    def __init__(self, *, in_each_process: bool = False) -> None:
        """With `in_each_process`, a forked child runs it again even if it had succeeded in the parent."""
        super().__init__()
        self.done: bool = False
        self.begun: bool = False
        """Whether a run has started, successful or not."""
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
                if current is None or not current.is_running:
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
            # A cancelled attempt ends without an error, and the waiting callers check again.
            attempt.end(error)

    def reset(self) -> None:
        """Let the next call run it again."""
        self.done = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy the options only: a copy has not run yet."""
        return partial(Once, in_each_process=self._in_each_process), ()

    def after_fork_in_child(self) -> None:
        if self._attempt is not None:
            self._attempt.after_fork_in_child()
        self._attempt = None
        self.done = self.done and not self._in_each_process
        self.begun = self.begun and not self._in_each_process


class _Attempt:
    """One run of a function, in the event loop of the caller that started it."""

    def __init__(self) -> None:
        from asyncio import get_running_loop
        from concurrent.futures import Future

        self._loop: asyncio.AbstractEventLoop | None = None
        with suppress(RuntimeError):  # not asyncio's event loop
            self._loop = get_running_loop()
        self._thread = threading.get_ident()
        self._error: Future[Exception | None] = Future()

    @property
    def is_running(self) -> bool:
        """Whether its event loop is running. A stopped loop may never continue."""
        return self._loop is not None and self._loop.is_running()

    def end(self, error: Exception | None) -> None:
        self._error.set_result(error)

    async def wait(self) -> None:
        """Wait until the run ends or its event loop stops. Raises the exception of the function."""
        from asyncio import get_running_loop, wait, wrap_future

        outcome = wrap_future(self._error)
        # Another event loop does not announce that it has stopped, so poll. The caller's own loop is running.
        interval = None if self._loop is get_running_loop() else _POLL_INTERVAL_SECONDS
        while not outcome.done() and self.is_running:
            await wait([outcome], timeout=interval)
        error = outcome.result() if outcome.done() else None
        if error is not None:
            raise error

    def after_fork_in_child(self) -> None:
        # The event loop of a thread that is not in the child still appears to be running.
        if self._thread != threading.get_ident():
            self._loop = None


class OncePer(ForkAware):
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
        """Let the next call run it again, for one name or for all."""
        if name is None:
            self._done.clear()
        else:
            self._done.discard(name)

    def after_fork_in_child(self) -> None:
        self._done = set()
        self._attempts = {}


class PerLoop(ForkAware, Generic[T]):
    """One resource per event loop, for drivers whose connections are bound to the loop that opened them.

    A resource is closed by `close`, or when its loop shuts down its asynchronous generators, as `asyncio.run` does.
    After a fork the child gets its own resources, even in an event loop inherited from the parent.
    """

    def __init__(
        self,
        create: Callable[[], T],
        close: Callable[[T], Awaitable[None]],
        release: Callable[[T], None] | None = None,
        is_idle: Callable[[T], bool] | None = None,
    ) -> None:
        """`create` and `close` run in the event loop of the resource.

        `release` disposes of a resource that its loop cannot close, because the loop was closed without shutdown or is
        stopped. It runs in `close`, and when another loop gets a resource: for closed loops and, with `is_idle`, for
        stopped loops with an idle resource.
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
        """Return the resource of the running loop, created on first use."""
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
        """Close every resource in its own event loop. The next `get` creates a new one."""
        from asyncio import TimeoutError as AsyncioTimeoutError
        from asyncio import run_coroutine_threadsafe, wait_for, wrap_future

        for loop, holder in list(self._holders.items()):
            if loop is self._get_running_loop():
                await holder.aclose()
            elif loop.is_running():
                # A loop that is just shutting down never runs this coroutine, but closes its resource by itself.
                with suppress(AsyncioTimeoutError):
                    await wait_for(wrap_future(run_coroutine_threadsafe(_finish(holder), loop)), _CLOSE_TIMEOUT_SECONDS)
            else:
                self._discard(loop)

    # The shutdown of an event loop closes its asynchronous generators, and thereby the resource.
    async def _hold(self, loop: "asyncio.AbstractEventLoop", resource: T) -> AsyncGenerator[T, None]:
        process = os.getpid()
        try:
            yield resource
        finally:
            if os.getpid() == process and self._resources.get(loop) is resource:
                self._forget(loop)
                await self._close(resource)

    def after_fork_in_child(self) -> None:
        # Closing a connection would unregister it from the selector that the parent's event loop shares.
        leave_to_parent((self._holders, self._resources))
        self._inherited.update(self._resources)
        self._latest, self._holders, self._resources = None, {}, {}

    def _release_unused(self) -> None:
        for loop, resource in list(self._resources.items()):
            is_unused = self._is_idle is not None and not loop.is_running() and self._is_idle(resource)
            if self._release is not None and (loop.is_closed() or is_unused):
                self._discard(loop)

    def _discard(self, loop: "asyncio.AbstractEventLoop") -> None:
        """Dispose of the resource without its loop."""
        holder, resource = self._holders.get(loop), self._resources.get(loop)
        self._forget(loop)
        if self._release is not None and resource is not None:
            self._release(resource)
        if holder is not None:
            # Finish the generator here: collected unfinished, it would ask the loop to finish it.
            with suppress(StopIteration):
                holder.aclose().send(None)  # pyright: ignore[reportArgumentType] — as an event loop does

    def _forget(self, loop: "asyncio.AbstractEventLoop") -> None:
        with self._lock:
            self._latest = None
            self._resources.pop(loop, None)
            self._holders.pop(loop, None)


def _started(generator: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Run the generator, which awaits nothing before its first `yield`, to that `yield`."""
    with suppress(StopIteration):
        generator.asend(None).send(None)  # pyright: ignore[reportArgumentType]
    return generator


def _replace_threads(loop: "asyncio.AbstractEventLoop") -> None:
    """Give an inherited loop a new default executor, because the threads of its own exist only in the parent.

    Otherwise the first host name lookup would wait forever for a thread that the executor counts as idle.
    """
    from concurrent.futures import ThreadPoolExecutor

    loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))


async def _finish(generator: AsyncGenerator[Any, None]) -> None:
    await generator.aclose()
