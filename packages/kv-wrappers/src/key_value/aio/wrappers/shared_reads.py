"""Reads of PassthroughCacheWrapper's primary store, shared by concurrent callers."""

import marshal
from asyncio import AbstractEventLoop, CancelledError, Future, Task, get_running_loop, wait
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from key_value.aio.core import clock
from key_value.aio.core.forks import ForkAware, new_lock
from key_value.aio.errors import KeyValueOperationError

if TYPE_CHECKING:
    from datetime import datetime
    from threading import RLock

__all__ = ["Pair", "Scope", "SharedRead", "SharedReads", "in_order"]

R = TypeVar("R")

_LOOP_CHECK_INTERVAL_SECONDS = 0.05

Pair = tuple[dict[str, Any] | None, float | None]
"""A value and its remaining seconds, as returned by `ttl`."""

Scope = tuple[str | None, str] | tuple[str | None] | tuple[()]
"""An entry (collection and key), a collection, or the whole store."""


class SharedRead:
    """A read in flight and its waiting callers, which may be in different event loops."""

    def __init__(self, collection: str | None, keys: list[str], loop: AbstractEventLoop) -> None:
        self.collection = collection
        self.keys = keys
        self.started_at: datetime = clock.now()
        self.answered_at: datetime = self.started_at
        self.pairs: dict[str, Pair] = {}
        self.is_kept = False
        """Whether the read continues when no caller waits for it any more."""
        self.loop = loop
        self.task: Task[None] | None = None
        self.waiters: set[Future[None]] = set()
        self.is_shared = False
        self.error: BaseException | None = None

    def answer(self, pairs: Iterable[Pair]) -> None:
        """Set the result of the read, in the order of the keys."""
        self.pairs = dict(zip(self.keys, pairs, strict=True))
        self.answered_at = clock.now()

    def join(self, loop: AbstractEventLoop) -> "Future[None]":
        """Return a future of the loop that is done when the read ends. Hold the lock; the read must not have ended."""
        waiter: Future[None] = loop.create_future()
        self.waiters.add(waiter)
        return waiter

    def answers(self, keys: Iterable[str], loop: AbstractEventLoop) -> dict[str, Pair]:
        """Return the results for those of `keys` that this read covers; empty if they must be read again."""
        own = set(self.keys)
        wanted = [key for key in keys if key in own]
        if self.error is not None:
            if isinstance(self.error, KeyValueOperationError) and len(wanted) < len(own):
                return {}  # the error may concern a key that this caller did not request
            raise self.error
        if not self.pairs:
            if self.loop is loop:
                raise CancelledError
            return {}  # the event loop of the read has stopped
        elapsed = (clock.now() - self.answered_at).total_seconds()
        return {key: _after(_copy(self.pairs[key]) if self.is_shared else self.pairs[key], elapsed) for key in wanted}


_JoinedReads = list[tuple[SharedRead, "Future[None]"]]


class SharedReads(ForkAware):
    """At most one read of a key at a time, across all event loops.

    Cancelling a caller does not affect the others; the read is cancelled with its last caller. If the event loop of a
    read stops, callers in other loops read again.
    """

    def __init__(self, run: Callable[[SharedRead], Coroutine[Any, Any, None]]) -> None:
        """`run` calls `answer`, or raises the exception for all waiting callers."""
        super().__init__()
        self.lock: RLock = new_lock()
        self._run = run
        self._reads: dict[Scope, SharedRead] = {}

    async def read(self, collection: str | None, keys: list[str]) -> dict[str, Pair]:
        """Return the entries of the distinct keys, from reads in flight and one new read for the rest."""
        pairs: dict[str, Pair] = {}
        while missing := [key for key in keys if key not in pairs]:
            loop = get_running_loop()
            joined = self._join(collection, missing, loop)
            try:
                for read, waiter in joined:
                    await _wait_for_end(read, waiter)
                    pairs.update(read.answers(missing, loop))
            finally:
                for read, waiter in joined:
                    self._leave(read, waiter)
        return pairs

    async def wait_for_end(self, read: SharedRead) -> None:
        """Wait until the read has ended."""
        with self.lock:
            waiter = None if read.task is None else read.join(get_running_loop())
        if waiter is not None:
            await _wait_for_end(read, waiter)

    def after_fork_in_child(self) -> None:
        self._reads = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedReads, (self._run,)

    def is_current(self, read: SharedRead, key: str) -> bool:
        """Return whether the read has not been detached from the key. Hold the lock."""
        return self._reads.get((read.collection, key)) is read

    def detach(self, scopes: Iterable[Scope]) -> list[SharedRead]:
        """Prevent new callers from joining the reads in the scopes, and return these reads. Hold the lock."""
        entries: list[Scope] = []
        for scope in scopes:
            if len(scope) == 2:  # noqa: PLR2004 — an entry
                entries.append(scope)
            else:
                entries += [name for name in self._reads if name[: len(scope)] == scope]
        return [self._reads.pop(name) for name in entries if name in self._reads]

    def _join(self, collection: str | None, keys: list[str], loop: AbstractEventLoop) -> _JoinedReads:
        with self.lock:
            found = ((key, self._reads.get((collection, key))) for key in keys)
            # A read in an event loop that does not run never ends.
            in_flight = {key: read for key, read in found if read is not None and read.loop.is_running()}
            joined = [(read, read.join(loop)) for read in dict.fromkeys(in_flight.values())]
            rest = [key for key in keys if key not in in_flight]
            if rest:
                read = SharedRead(collection, rest, loop)
                joined.append((read, read.join(loop)))
                self._reads.update(dict.fromkeys([(collection, key) for key in rest], read))
                read.task = loop.create_task(self._run(read))
                read.task.add_done_callback(partial(self._finish, read))
        return joined

    def _leave(self, read: SharedRead, waiter: "Future[None]") -> None:
        with self.lock:
            read.waiters.discard(waiter)
            task = read.task
            if read.waiters or read.is_kept or task is None:
                return
            self._forget(read)
        with suppress(RuntimeError):  # its event loop is closed
            read.loop.call_soon_threadsafe(task.cancel)

    def _finish(self, read: SharedRead, task: "Task[None]") -> None:
        with self.lock:
            self._forget(read)
            read.task = None
            waiters = list(read.waiters)
        if not task.cancelled():
            read.error = task.exception()
        read.is_shared = len(waiters) > 1
        for waiter in waiters:
            _wake(waiter, read.loop)

    def _forget(self, read: SharedRead) -> None:
        for key in read.keys:
            if self.is_current(read, key):
                del self._reads[read.collection, key]


async def _wait_for_end(read: SharedRead, waiter: "Future[None]") -> None:
    """Wait until the read has ended, or its event loop no longer runs."""
    # A stopped event loop does not notify others, so poll it. The caller's own loop is running by definition.
    interval = None if waiter.get_loop() is read.loop else _LOOP_CHECK_INTERVAL_SECONDS
    while not waiter.done() and read.loop.is_running():
        await wait([waiter], timeout=interval)


def in_order(keys: list[str], found: Mapping[str, R]) -> list[R]:
    """Return the result for each key. Keys may repeat; results never share an object."""
    if len(found) == len(keys):
        return [found[key] for key in keys]
    unused = dict(found)
    return [unused.pop(key) if key in unused else _copy(found[key]) for key in keys]


def _wake(waiter: "Future[None]", loop: AbstractEventLoop) -> None:
    """Complete the waiter. Call it in the loop."""
    if waiter.get_loop() is not loop:
        with suppress(RuntimeError):  # its event loop is closed
            waiter.get_loop().call_soon_threadsafe(_wake, waiter, waiter.get_loop())
    elif not waiter.done():
        waiter.set_result(None)


def _after(pair: Pair, elapsed: float) -> Pair:
    value, remaining = pair
    if remaining is None:
        return pair
    return (value, remaining - elapsed) if remaining > elapsed else (None, None)


def _copy(found: R) -> R:
    try:
        # Supports the deepest nesting allowed in values; deepcopy does not.
        return marshal.loads(marshal.dumps(cast("Any", found)))  # noqa: S302 — dumped here
    except ValueError:  # contains other than builtin types
        return deepcopy(found)
