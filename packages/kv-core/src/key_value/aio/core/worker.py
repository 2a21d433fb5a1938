"""Blocking drivers, kept off the event loop: one thread makes their calls."""

import atexit
import os
import threading
import time
import weakref
from asyncio import AbstractEventLoop, get_running_loop, shield, wrap_future
from asyncio import Future as LoopFuture
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from queue import SimpleQueue
from typing import Any, Generic, TypeVar, cast

from typing_extensions import TypeVarTuple, Unpack

__all__ = ["Call", "Worker"]

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MOST_AT_ONCE = 1000
_PATIENCE = 0.001
_EXIT_SECONDS = 5.0

_running: "weakref.WeakKeyDictionary[threading.Thread, SimpleQueue[Any]]" = weakref.WeakKeyDictionary()


class Call(Generic[R]):
    """A call that waits for its turn, and then for its caller to hear of the outcome."""

    __slots__ = ("_answer", "_arguments", "_function", "error", "loop", "result")

    def __init__(self, loop: AbstractEventLoop, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.loop = loop
        self.result: Any = None
        self.error: BaseException | None = None
        self._answer: LoopFuture[Any] = loop.create_future()
        self._function = function
        self._arguments = arguments

    def __await__(self) -> Any:
        return self._answer.__await__()

    @property
    def given_up(self) -> bool:
        """Whether the caller was cancelled meanwhile."""
        return self._answer.cancelled()

    def make(self, resource: R) -> None:
        """Make the call and keep what it returns or raises, in place of an earlier outcome."""
        self.error = None
        try:
            self.result = self._function(resource, *self._arguments)
        except BaseException as exc:  # noqa: BLE001 — the caller gets it
            self.error = exc

    def tell(self) -> None:
        """Let the caller have the outcome. Runs in the caller's event loop."""
        if self._answer.done():
            return
        if self.error is None:
            self._answer.set_result(self.result)
        else:
            self._answer.set_exception(self.error)


class Worker(Generic[R]):
    """A thread with a resource of its own, such as a connection, that makes blocking calls in the order they come.

    One call after the other costs about 90 µs each, nearly all of it for waking two sleeping threads. Calls that wait
    together cost 5 µs each, because they are taken and answered together.

    Event loops and threads may share a worker. A call whose caller is cancelled is skipped if it has not begun, and
    otherwise completed. After a fork the child gets a thread and a resource of its own. A worker that is dropped
    without `close` ends its thread, which closes the resource; so does the end of the program.
    """

    def __init__(
        self,
        open_resource: Callable[[], R],
        close_resource: Callable[[R], object],
        make_all: Callable[[R, Sequence[Call[R]]], object] | None = None,
    ) -> None:
        """All three run in the thread. `open_resource` runs before the first call, and again after it failed.

        `make_all` makes the calls it is given, one to a thousand, in their order; it is there to put something around
        them, such as a transaction. No caller hears of an outcome before it returns. What it raises, all of them get.
        """
        self._work = (open_resource, close_resource, make_all)
        self._lock = threading.Lock()
        self._process = 0
        self._calls: SimpleQueue[Call[R] | None] | None = None
        self._ended: Future[None] = Future()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    async def run(self, function: Callable[[R, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """What `function(resource, *args)` returns, called in the thread."""
        call: Call[R] = Call(get_running_loop(), function, args)
        with self._lock:
            calls = self._calls
            if calls is None or self._process != os.getpid():
                calls = self._start()
            calls.put(call)
        return cast("T", await call)

    async def close(self) -> None:
        """Wait for the calls that came before, close the resource and end the thread. The next call starts another."""
        with self._lock:
            if self._finalizer is None or self._process != os.getpid():
                return
            ended, self._calls = self._ended, None
            self._finalizer()
        await shield(wrap_future(ended))

    def _start(self) -> "SimpleQueue[Call[R] | None]":
        if self._finalizer is not None:
            self._finalizer.detach()
        calls: SimpleQueue[Call[R] | None] = SimpleQueue()
        ended: Future[None] = Future()
        # The thread does not keep the worker alive, nor the process.
        thread = threading.Thread(target=_work, args=(calls, ended, *self._work), name="key-value", daemon=True)
        thread.start()
        _running[thread] = calls
        self._finalizer = weakref.finalize(self, calls.put, None)
        self._finalizer.atexit = False
        self._calls, self._ended, self._process = calls, ended, os.getpid()
        return calls


def _work(
    waiting: "SimpleQueue[Call[R] | None]",
    ended: "Future[None]",
    open_resource: Callable[[], R],
    close_resource: Callable[[R], object],
    make_all: Callable[[R, Sequence[Call[R]]], object] | None,
) -> None:
    opened: list[R] = []
    last = False
    try:
        while not last:
            taken = _take(waiting)
            last = taken[-1] is None
            calls = [call for call in taken if call is not None and not call.given_up]
            if calls:
                try:
                    if not opened:
                        opened.append(open_resource())
                    if make_all is None:
                        calls = _make_each(opened[0], calls)
                    else:
                        make_all(opened[0], calls)
                except BaseException as exc:  # noqa: BLE001 — the callers get it
                    for call in calls:
                        call.error = exc
            _tell(calls)
            # Nothing that was passed or returned is kept until the next call.
            del taken, calls
        for resource in opened:
            close_resource(resource)
    except BaseException as exc:  # noqa: BLE001 — the one who closes gets it
        ended.set_exception(exc)
    else:
        ended.set_result(None)


def _take(waiting: "SimpleQueue[Call[R] | None]") -> list[Call[R] | None]:
    """What waits, at least one; None ends the thread, and nothing comes after it."""
    taken = [waiting.get()]
    while taken[-1] is not None and len(taken) < _MOST_AT_ONCE and not waiting.empty():
        taken.append(waiting.get())
    return taken


def _make_each(resource: R, calls: Sequence[Call[R]]) -> list[Call[R]]:
    """Make the calls; those whose callers have not been told."""
    untold: list[Call[R]] = []
    due = time.monotonic() + _PATIENCE
    for call in calls:
        if not call.given_up:
            call.make(resource)
            untold.append(call)
        # Telling all of a thousand at the end would let the first wait for the last, and the event loop stall.
        if time.monotonic() > due:
            _tell(untold)
            untold = []
            due = time.monotonic() + _PATIENCE
    return untold


def _tell(calls: Sequence[Call[Any]]) -> None:
    for loop, told in groupby(calls, attrgetter("loop")):
        # A loop that has been closed has no caller either.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell_in_loop, list(told))


def _tell_in_loop(calls: Sequence[Call[Any]]) -> None:
    for call in calls:
        call.tell()


@atexit.register
def _end_all() -> None:
    # A thread that is left to the interpreter's end dies wherever it is; DuckDB's C++ then ends in abort().
    threads = dict(_running)
    for calls in threads.values():
        calls.put(None)
    for thread in threads:
        thread.join(_EXIT_SECONDS)
