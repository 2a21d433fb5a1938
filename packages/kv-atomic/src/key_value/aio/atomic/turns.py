"""Queues of the callers in this process that want to change the same entry."""

from asyncio import AbstractEventLoop, Lock, get_running_loop
from collections.abc import Hashable
from weakref import WeakValueDictionary

__all__ = ["turn"]

# Weak references: a queue exists while a caller waits in it or holds it. Such a caller also references the store, so
# that its id is not reused. The key contains the event loop, because an asyncio.Lock serves only one.
_queues: WeakValueDictionary[tuple[AbstractEventLoop, int, Hashable], Lock] = WeakValueDictionary()


def turn(store: object, name: Hashable) -> Lock:
    """Return a lock to hold while changing the entry `name` through this store object in the running event loop.

    It serves callers in order; a cancelled caller leaves the queue. Keep a reference to the store while you hold it.
    """
    queue_key = (get_running_loop(), id(store), name)
    queue = _queues.get(queue_key)
    if queue is None:
        queue = _queues[queue_key] = Lock()
    return queue
