"""Keeps drivers off the event loop that block and that several threads may call at once."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from key_value.aio.core.forks import AcrossForks, leave_to_parent, new_lock
from key_value.aio.core.worker import Worker
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["SharedResource", "WorkerPool"]

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SharedResource(AcrossForks, Generic[R]):
    """A resource that the first of its users opens and the last one closes. A forked child has none at first."""

    def __init__(self, open_resource: Callable[[], R], close_resource: Callable[[R], object]) -> None:
        """Both run in the thread of a user."""
        super().__init__()
        self._open_resource = open_resource
        self._close_resource = close_resource
        self._lock = new_lock()
        self._opened: list[R] = []
        self._users = 0

    def take(self) -> R:
        """The resource, for one more user. Raises what opening it raised."""
        with self._lock:
            if not self._opened:
                self._opened.append(self._open_resource())
            self._users += 1
            return self._opened[0]

    def give_back(self, _: R) -> None:
        """Have one user less."""
        with self._lock:
            self._users -= 1
            unused = [] if self._users else [self._opened.pop()]
        for resource in unused:
            self._close_resource(resource)

    def after_fork_in_child(self) -> None:
        leave_to_parent(self._opened)
        self._opened, self._users = [], 0


class WorkerPool(Generic[R]):
    """Threads that make blocking calls at once, on a resource that they share. See Worker.

    A thread starts when all others have something to do. A call keeps its place: it waits for the thread it was given
    to. So give long calls and short ones a pool each.
    """

    def __init__(self, resource: SharedResource[R], threads: int) -> None:
        self._workers = [Worker(resource.take, resource.give_back) for _ in range(threads)]

    async def run(self, function: Callable[[R, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Return the result of `function(resource, *args)`, called in the thread that has least to do."""
        least, free = None, self._workers[0]
        for worker in self._workers:
            load = worker.load
            if least is None or load < least:
                least, free = load, worker
            if not load:
                break
        return await free.run(function, *args)

    async def close(self) -> None:
        """Wait for the queued calls, and end the threads. The next call starts another."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
