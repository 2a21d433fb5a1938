"""Runs the calls of a blocking but thread-safe driver in several threads, off the event loop."""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from key_value.aio.core.forks import ForkAware, leave_to_parent, new_lock
from key_value.aio.core.worker import Worker
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["SharedResource", "WorkerPool"]

R = TypeVar("R")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class SharedResource(ForkAware, Generic[R]):
    """A reference-counted resource: the first user opens it, the last closes it. A forked child starts without one."""

    def __init__(self, open_resource: Callable[[], R], close_resource: Callable[[R], object]) -> None:
        """Both functions run in the thread of a user."""
        super().__init__()
        self._open_resource = open_resource
        self._close_resource = close_resource
        self._lock = new_lock()
        self._opened: list[R] = []
        self._users = 0

    def acquire(self) -> R:
        """Return the resource for one more user. Raises the exception of `open_resource`."""
        with self._lock:
            if not self._opened:
                self._opened.append(self._open_resource())
            self._users += 1
            return self._opened[0]

    def release(self, _: R) -> None:
        """Release one use of the resource."""
        with self._lock:
            self._users -= 1
            unused = [] if self._users else [self._opened.pop()]
        for resource in unused:
            self._close_resource(resource)

    def after_fork_in_child(self) -> None:
        leave_to_parent(self._opened)
        self._opened, self._users = [], 0


class WorkerPool(Generic[R]):
    """Threads that make blocking calls concurrently on a shared resource. See Worker.

    A new thread starts when all others are busy. A call waits for the thread that it was assigned to, so use separate
    pools for long and short calls.
    """

    def __init__(self, resource: SharedResource[R], threads: int) -> None:
        self._workers = [Worker(resource.acquire, resource.release) for _ in range(threads)]

    async def run(self, function: Callable[[R, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Return the result of `function(resource, *args)`, called in the thread with the lowest load."""
        min_load, chosen = None, self._workers[0]
        for worker in self._workers:
            load = worker.load
            if min_load is None or load < min_load:
                min_load, chosen = load, worker
            if not load:
                break
        return await chosen.run(function, *args)

    async def close(self) -> None:
        """Wait for the queued calls and end the threads. The next call starts a new one."""
        await asyncio.gather(*(worker.close() for worker in self._workers))
