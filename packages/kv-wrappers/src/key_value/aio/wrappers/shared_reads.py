"""Reads shared by any number of callers: PassthroughCacheWrapper's reads of its primary store."""

import marshal
from asyncio import AbstractEventLoop, CancelledError, Future, Task, get_running_loop, wait
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

from key_value.aio.core import clock
from key_value.aio.core.forks import AcrossForks, new_lock
from key_value.aio.errors import KeyValueOperationError

if TYPE_CHECKING:
    from datetime import datetime
    from threading import RLock

__all__ = ["Pair", "Scope", "SharedRead", "SharedReads", "in_order"]

R = TypeVar("R")

_INTERVAL_SECONDS = 0.05

Pair = tuple[dict[str, Any] | None, float | None]
"""A value and its remaining seconds, as returned by `ttl`."""

Scope = tuple[str | None, str] | tuple[str | None] | tuple[()]
"""An entry by collection and key, a collection, or everything."""


class SharedRead:
    """A read under way and its waiting callers, each in an event loop of its own."""

    def __init__(self, collection: str | None, keys: list[str], loop: AbstractEventLoop) -> None:
        self.collection = collection
        self.keys = keys
        self.began: datetime = clock.now()
        self.answered: datetime = self.began
        self.pairs: dict[str, Pair] = {}
        self.is_kept = False
        """Whether it continues when nobody waits for it any more."""
        self.loop = loop
        self.task: Task[None] | None = None
        self.waiters: set[Future[None]] = set()
        self.has_several = False
        self.error: BaseException | None = None

    def answer(self, pairs: Iterable[Pair]) -> None:
        """Take the result of the read, in the order of the keys."""
        self.pairs = dict(zip(self.keys, pairs, strict=True))
        self.answered = clock.now()

    def join(self, loop: AbstractEventLoop) -> "Future[None]":
        """A future to wait for in the loop. Runs with the lock held, before the end of the read."""
        waiter: Future[None] = loop.create_future()
        self.waiters.add(waiter)
        return waiter

    def answers(self, keys: Iterable[str], loop: AbstractEventLoop) -> dict[str, Pair]:
        """The results for the keys of this read; empty if they must be read again."""
        own = set(self.keys)
        wanted = [key for key in keys if key in own]
        if self.error is not None:
            if isinstance(self.error, KeyValueOperationError) and len(wanted) < len(own):
                return {}  # it may be about an entry that this caller has not asked for
            raise self.error
        if not self.pairs:
            if self.loop is loop:
                raise CancelledError
            return {}  # its event loop has ended
        elapsed = (clock.now() - self.answered).total_seconds()
        return {key: _aged(_copy(self.pairs[key]) if self.has_several else self.pairs[key], elapsed) for key in wanted}


_Joined = list[tuple[SharedRead, "Future[None]"]]


class SharedReads(AcrossForks):
    """At most one read of a key at a time, in all event loops together.

    A cancelled caller leaves the others waiting; the read ends with the last of them. If the event loop of a read
    stops, callers in other loops start it again.
    """

    def __init__(self, run: Callable[[SharedRead], Coroutine[Any, Any, None]]) -> None:
        """`run` calls `answer`, or raises what all who wait are to get."""
        super().__init__()
        self.lock: RLock = new_lock()
        self._run = run
        self._reads: dict[Scope, SharedRead] = {}

    async def read(self, collection: str | None, keys: list[str]) -> dict[str, Pair]:
        """Return the entries of the distinct keys, from reads under way and one new read for the rest."""
        pairs: dict[str, Pair] = {}
        while missing := [key for key in keys if key not in pairs]:
            loop = get_running_loop()
            joined = self._join(collection, missing, loop)
            try:
                for read, waiter in joined:
                    await _end_of(read, waiter)
                    pairs.update(read.answers(missing, loop))
            finally:
                for read, waiter in joined:
                    self._leave(read, waiter)
        return pairs

    async def end_of(self, read: SharedRead) -> None:
        """Wait until the read has ended."""
        with self.lock:
            waiter = None if read.task is None else read.join(get_running_loop())
        if waiter is not None:
            await _end_of(read, waiter)

    def after_fork_in_child(self) -> None:
        self._reads = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return SharedReads, (self._run,)

    def is_current(self, read: SharedRead, key: str) -> bool:
        """Whether the read was not detached from the key. Runs with the lock held."""
        return self._reads.get((read.collection, key)) is read

    def detach(self, scopes: Iterable[Scope]) -> list[SharedRead]:
        """The reads of what is in the scopes, which nobody joins from now on. Runs with the lock held."""
        doomed: list[Scope] = []
        for scope in scopes:
            if len(scope) == 2:  # noqa: PLR2004 — an entry
                doomed.append(scope)
            else:
                doomed += [name for name in self._reads if name[: len(scope)] == scope]
        return [self._reads.pop(name) for name in doomed if name in self._reads]

    def _join(self, collection: str | None, keys: list[str], loop: AbstractEventLoop) -> _Joined:
        with self.lock:
            found = ((key, self._reads.get((collection, key))) for key in keys)
            # An event loop that does not run cannot end what it began.
            under_way = {key: read for key, read in found if read is not None and read.loop.is_running()}
            joined = [(read, read.join(loop)) for read in dict.fromkeys(under_way.values())]
            rest = [key for key in keys if key not in under_way]
            if rest:
                read = SharedRead(collection, rest, loop)
                joined.append((read, read.join(loop)))
                self._reads.update(dict.fromkeys([(collection, key) for key in rest], read))
                read.task = loop.create_task(self._run(read))
                read.task.add_done_callback(partial(self._end, read))
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

    def _end(self, read: SharedRead, task: "Task[None]") -> None:
        with self.lock:
            self._forget(read)
            read.task = None
            waiters = list(read.waiters)
        if not task.cancelled():
            read.error = task.exception()
        read.has_several = len(waiters) > 1
        for waiter in waiters:
            _wake(waiter, read.loop)

    def _forget(self, read: SharedRead) -> None:
        for key in read.keys:
            if self.is_current(read, key):
                del self._reads[read.collection, key]


async def _end_of(read: SharedRead, waiter: "Future[None]") -> None:
    """Wait until the read has ended, or its event loop no longer runs."""
    # No event loop tells others that it has stopped. The own one runs whoever waits in it.
    interval = None if waiter.get_loop() is read.loop else _INTERVAL_SECONDS
    while not waiter.done() and read.loop.is_running():
        await wait([waiter], timeout=interval)


def in_order(keys: list[str], found: Mapping[str, R]) -> list[R]:
    """The result for each of the keys, which may repeat; no two results share an object."""
    if len(found) == len(keys):
        return [found[key] for key in keys]
    unused = dict(found)
    return [unused.pop(key) if key in unused else _copy(found[key]) for key in keys]


def _wake(waiter: "Future[None]", loop: AbstractEventLoop) -> None:
    """Runs in the loop."""
    if waiter.get_loop() is not loop:
        with suppress(RuntimeError):  # its event loop is closed
            waiter.get_loop().call_soon_threadsafe(_wake, waiter, waiter.get_loop())
    elif not waiter.done():
        waiter.set_result(None)


def _aged(pair: Pair, elapsed: float) -> Pair:
    value, remaining = pair
    if remaining is None:
        return pair
    return (value, remaining - elapsed) if remaining > elapsed else (None, None)


def _copy(found: R) -> R:
    try:
        # As deep as a value may be nested, which deepcopy is not.
        return marshal.loads(marshal.dumps(cast("Any", found)))  # noqa: S302 — our own
    except ValueError:  # not of the builtin types alone
        return deepcopy(found)
