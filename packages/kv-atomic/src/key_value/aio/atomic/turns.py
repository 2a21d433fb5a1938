"""Queues of this process for changing an entry."""

from asyncio import AbstractEventLoop, Lock, get_running_loop
from collections.abc import Hashable
from weakref import WeakValueDictionary

__all__ = ["turn"]

# Nothing else holds a queue: it lives as long as somebody waits in it or is served. Whoever that is holds the store as
# well, so that no other gets its id. An asyncio.Lock serves one event loop.
_queues: WeakValueDictionary[tuple[AbstractEventLoop, int, Hashable], Lock] = WeakValueDictionary()


def turn(store: object, name: Hashable) -> Lock:
    """A context manager to hold while changing the entry `name` through this store object in the running loop.

    First come, first served; a cancelled caller leaves the queue. Keep a reference to the store while you hold the
    turn.
    """
    place = (get_running_loop(), id(store), name)
    queue = _queues.get(place)
    if queue is None:
        queue = _queues[place] = Lock()
    return queue
