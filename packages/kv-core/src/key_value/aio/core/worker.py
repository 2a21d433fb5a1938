"""Runs the calls of a blocking driver in one thread, off the event loop."""

import atexit
import threading
import time
import weakref
from asyncio import AbstractEventLoop, get_running_loop, shield, wrap_future
from asyncio import Future as LoopFuture
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from itertools import groupby
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from key_value.aio.core.forks import ForkAware, leave_to_parent, new_lock, yield_to_fork
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["Job", "Worker"]

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MAX_BATCH_JOBS = 1000
_MAX_BATCH_SECONDS = 0.001
_EXIT_TIMEOUT_SECONDS = 5.0

_exiting = False
_workers: "weakref.WeakValueDictionary[int, Worker[Any]]" = weakref.WeakValueDictionary()
_running: "weakref.WeakValueDictionary[int, threading.Thread]" = weakref.WeakValueDictionary()


class Job(Generic[R]):
    """A queued call and its outcome.

    `make_all` of a worker can use `function` and `arguments` to select a resource or to combine calls.
    """

    __slots__ = ("_answer", "arguments", "error", "function", "loop", "result")

    def __init__(self, loop: AbstractEventLoop, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.loop: AbstractEventLoop = loop
        self.result: Any = None
        self.error: BaseException | None = None
        self._answer: LoopFuture[Any] = loop.create_future()
        self.function: Callable[..., Any] = function
        self.arguments: tuple[Any, ...] = arguments

    def __await__(self) -> Any:
        return self._answer.__await__()

    @property
    def is_cancelled(self) -> bool:
        """Whether the caller has been cancelled."""
        return self._answer.cancelled()

    def make(self, resource: R) -> None:
        """Make the call and store its result or exception, replacing an earlier outcome."""
        self.error = None
        try:
            self.result = self.function(resource, *self.arguments)
        except BaseException as exc:  # noqa: BLE001 — the caller gets it
            self.error = exc

    def answer(self) -> None:
        """Deliver the outcome to the caller. Runs in the caller's event loop."""
        if self._answer.done():
            return
        if self.error is None:
            self._answer.set_result(self.result)
        else:
            self._answer.set_exception(self.error)


class Worker(ForkAware, Generic[R]):
    """A thread with its own resource, such as a connection, that makes blocking calls in order.

    Sequential calls take about 90 µs each, mostly for waking two sleeping threads. Queued calls take 5 µs each, because
    the worker handles them in batches.

    Several event loops and threads can share a worker. If a caller is cancelled, its call is skipped if it has not
    started, and completed otherwise. If a worker is garbage-collected without `close`, or at interpreter exit, its
    thread closes the resource and ends. A later call, in an exit handler, runs in the calling thread with a new
    resource.

    A fork waits for the current call, two seconds at most. The child starts its own thread with its own resource.
    """

    def __init__(
        self,
        open_resource: Callable[[], R],
        close_resource: Callable[[R], object],
        make_all: Callable[[R, Sequence[Job[R]]], Sequence[Job[R]] | None] | None = None,
        *,
        close_before_fork: bool = False,
    ) -> None:
        """All three functions run in the thread. `open_resource` runs before the first call, and again if it failed.

        `make_all` makes one to a thousand calls in order, for example in one transaction. Callers get their outcomes
        when it returns; if it raises, all get the exception. It may make only the first calls and return the rest,
        which are passed to it again.

        With `close_before_fork`, the forking thread closes the resource before each fork, and the next call reopens it:
        for a driver that must have no open resources in a child.
        """
        super().__init__()
        self._work = (open_resource, close_resource, make_all)
        self._close_before_fork = close_before_fork
        self._lock = new_lock()
        self._calls: SimpleQueue[Job[R] | None] | None = None
        self._thread: _Thread[R] | None = None
        self._finalizer: weakref.finalize[Any, Any] | None = None
        _workers[id(self)] = self

    async def run(self, function: Callable[[R, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Return the result of `function(resource, *args)`, called in the thread."""
        call: Job[R] = Job(get_running_loop(), function, args)
        with self._lock:
            calls = self._calls
            if calls is None:
                calls = self._start()
            if self._thread is not None:
                self._thread.submitted += 1
            calls.put(call)
        return cast("T", await call)

    @property
    def load(self) -> int:
        """The number of calls queued or being made, including those of cancelled callers."""
        thread = self._thread
        return 0 if self._calls is None or thread is None else thread.submitted - thread.completed

    async def close(self) -> None:
        """Wait for the queued calls, close the resource and end the thread. The next call starts a new one."""
        thread = self.end()
        if thread is not None:
            await shield(wrap_future(thread.ended))

    def end(self) -> "_Thread[R] | None":
        """Start closing; return the latest thread, which is ending or has ended."""
        with self._lock:
            calls, self._calls = self._calls, None
            if calls is not None:
                calls.put(None)
            return self._thread

    def before_fork(self) -> None:
        if self._close_before_fork and self._thread is not None:
            self._thread.close_if_idle()

    def after_fork_in_child(self) -> None:
        if self._finalizer is not None:
            self._finalizer.detach()
        if self._thread is not None:
            # Closing would wait for the driver's threads, which are not in the child.
            leave_to_parent(self._thread)
        self._calls = self._thread = self._finalizer = None

    def _start(self) -> "SimpleQueue[Job[R] | None] | _Thread[R]":
        """Start a thread and return its queue. At interpreter exit, return an object that makes calls immediately."""
        thread = _Thread(*self._work)
        if _exiting or not thread.start():
            return thread
        if self._finalizer is not None:
            self._finalizer.detach()
        self._finalizer = weakref.finalize(self, thread.calls.put, None)
        self._finalizer.atexit = False
        self._calls, self._thread = thread.calls, thread
        return thread.calls


class _Thread(Generic[R]):
    """The thread of a worker. It keeps neither the worker nor the process alive."""

    def __init__(
        self,
        open_resource: Callable[[], R],
        close_resource: Callable[[R], object],
        make_all: Callable[[R, Sequence[Job[R]]], Sequence[Job[R]] | None] | None,
    ) -> None:
        self.calls: SimpleQueue[Job[R] | None] = SimpleQueue()
        self.ended: Future[None] = Future()
        # Callers increment the first under the worker's lock, the thread the second before it delivers outcomes.
        self.submitted: int = 0
        self.completed: int = 0
        self._open_resource = open_resource
        self._close_resource = close_resource
        self._make_all = make_all
        self._opened: list[R] = []
        self._busy = new_lock()
        self._ident = 0

    def start(self) -> bool:
        """Start the thread; return False if that is impossible, as at interpreter exit since Python 3.12."""
        thread = threading.Thread(target=self._run, name="key-value", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            if "shutdown" not in str(exc):
                raise
            return False
        _running[id(thread)] = thread
        return True

    def put(self, call: Job[R]) -> None:
        """Make the call immediately and close the resource, in place of a thread that cannot be started."""
        self._make([call])
        try:
            self.close_resource()
        except Exception as exc:  # noqa: BLE001 — the caller gets it
            call.error = exc

    def close_if_idle(self) -> None:
        """Close the resource unless a call is in progress, which may be the one that forks."""
        if self._ident != threading.get_ident() and self._busy.acquire(blocking=False):
            with ExitStack() as stack:
                stack.callback(self._busy.release)
                self.close_resource()

    def close_resource(self) -> None:
        if self._opened:
            self._close_resource(self._opened.pop())

    def _run(self) -> None:
        self._ident = threading.get_ident()
        last = False
        try:
            while not last:
                taken = _take(self.calls)
                last = taken[-1] is None
                calls: Sequence[Job[R]] = [call for call in taken if call is not None and not call.is_cancelled]
                self.completed += len(taken) - last - len(calls)
                # Release arguments and results before waiting for the next call.
                del taken
                while calls:
                    yield_to_fork()
                    with self._busy:
                        calls = self._make(calls)
            yield_to_fork()
            with self._busy:
                self.close_resource()
        except BaseException as exc:  # noqa: BLE001 — `close` raises it
            self.ended.set_exception(exc)
        else:
            self.ended.set_result(None)

    def _make(self, calls: Sequence[Job[R]]) -> Sequence[Job[R]]:
        """Make some of the calls and deliver their outcomes; return the remaining calls."""
        made, rest = calls, calls[:0]
        try:
            if not self._opened:
                self._opened.append(self._open_resource())
            if self._make_all is None:
                made, rest = _make_some(self._opened[0], calls)
            else:
                rest = self._make_all(self._opened[0], calls) or rest
                made = calls[: len(calls) - len(rest)]
        except BaseException as exc:  # noqa: BLE001 — the callers get it
            for call in calls:
                call.error = exc
        self.completed += len(calls) - len(rest)
        _answer_all(made)
        return rest


def _take(waiting: "SimpleQueue[Job[R] | None]") -> list[Job[R] | None]:
    """Wait for a job and take all queued ones. None, always the last item, ends the thread."""
    taken = [waiting.get()]
    while taken[-1] is not None and len(taken) < _MAX_BATCH_JOBS and not waiting.empty():
        taken.append(waiting.get())
    return taken


def _make_some(resource: R, calls: Sequence[Job[R]]) -> tuple[Sequence[Job[R]], Sequence[Job[R]]]:
    """Make calls for a millisecond; return those made, and the rest."""
    if len(calls) == 1:
        calls[0].make(resource)
        return calls, ()
    made: list[Job[R]] = []
    deadline = time.monotonic() + _MAX_BATCH_SECONDS
    for count, call in enumerate(calls, 1):
        if not call.is_cancelled:
            call.make(resource)
            made.append(call)
        # With a thousand outcomes delivered at the end, the first caller would wait for the last, and the loop stall.
        if time.monotonic() > deadline:
            return made, calls[count:]
    return made, ()


def _answer_all(calls: Sequence[Job[Any]]) -> None:
    for loop, group in groupby(calls, attrgetter("loop")):
        # A closed loop has no waiting callers.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_answer_in_loop, list(group))


def _answer_in_loop(calls: Sequence[Job[Any]]) -> None:
    for call in calls:
        call.answer()


@atexit.register
def _end_all() -> None:
    # The interpreter kills remaining threads at exit wherever they are, which makes DuckDB's C++ call abort().
    global _exiting  # noqa: PLW0603 — state of the process
    _exiting = True
    for reference in _workers.valuerefs():
        if (worker := reference()) is not None:
            worker.end()
    for reference in _running.valuerefs():
        if (thread := reference()) is not None:
            thread.join(_EXIT_TIMEOUT_SECONDS)
