"""Forks: bring locks and threads to rest while the process forks, and keep the parent's resources from the child."""

import os
import threading
import time
from contextlib import ExitStack
from typing import Any
from weakref import WeakValueDictionary

from key_value.aio.errors import StoreSetupError

__all__ = ["AcrossForks", "ParentsAlone", "give_way", "leave_to_parent", "new_lock", "sever"]

# A transaction of a thousand writes takes 20 ms. A longer call waits for something outside the process, such as
# another's lock or the user, and meanwhile holds nothing that a child needs.
_LOCK_WAIT_SECONDS = 2.0

_forking: Any = threading.Lock()


class _Held(threading.local):
    """The locks that this thread holds for a fork: those of each, where a signal handler forks while it does."""

    def __init__(self) -> None:
        self.stack: list[list[Any]] = []


_held = _Held()

# By their ids: what takes part need not be hashable, and no other thread changes a list of their references.
_locks: "WeakValueDictionary[int, Any]" = WeakValueDictionary()
_owners: "WeakValueDictionary[int, AcrossForks]" = WeakValueDictionary()

_of_parents: list[object] = []


class AcrossForks:
    """An object that must be told about forks."""

    def __init__(self) -> None:
        _owners[id(self)] = self

    def before_fork(self) -> None:
        """Runs in the thread that forks, which holds all locks of `new_lock`, as far as they became free in time."""

    def after_fork_in_child(self) -> None:
        """Runs in the only thread of the child, in which all locks are free."""


class ParentsAlone(AcrossForks):
    """A driver with threads that a child process lacks, which the driver cannot know once the parent has used it."""

    def __init__(self, driver: str) -> None:
        super().__init__()
        self._driver = driver
        self._was_used = False
        self._is_parents = False

    def use(self) -> None:
        """Raise StoreSetupError in a process whose parent used the driver before the fork."""
        if self._is_parents:
            message = (
                f"{self._driver} does not survive a fork, and was in use when this process was forked: "
                "use it only after forking, or spawn the process"
            )
            raise StoreSetupError(message)
        self._was_used = True

    def after_fork_in_child(self) -> None:
        self._is_parents = self._was_used


def new_lock() -> threading.RLock:
    """A lock that no other thread holds while the process forks, and that is always free in the child.

    It is reentrant, so that a fork waits for no lock of its own thread, such as one that a signal handler interrupted.
    A fork waits two seconds at most, so hold the lock only briefly.
    """
    lock = threading.RLock()
    _locks[id(lock)] = lock
    return lock


def give_way() -> None:
    """Let a thread that is about to fork go first. Call it between releasing a lock and taking it again at once."""
    if _forking.locked():
        with _forking:
            pass


def leave_to_parent(resource: object) -> None:
    """Keep a resource of the parent open in the child: neither garbage collection nor anything else closes it."""
    _of_parents.append(resource)


def sever(transport: Any) -> None:
    """Leave a transport's connection to the parent: here nothing is sent, received or ended on it any more.

    An event loop that was inherited shares its list of sockets with the parent's: taking one off would take it off
    there. So the number of the socket is given to one that is at its end, which is what the loop then finds.
    """
    from socket import socketpair

    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return
    near, far = socketpair()
    with near, far:
        far.close()
        os.dup2(near.fileno(), connection.fileno(), inheritable=False)


def _alive(objects: "WeakValueDictionary[int, Any]") -> list[Any]:
    return [each for reference in objects.valuerefs() if (each := reference()) is not None]


def _before() -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    locks = (_forking, *_alive(_locks))
    _held.stack.append([lock for lock in locks if lock.acquire(timeout=max(0.0, deadline - time.monotonic()))])
    with ExitStack() as stack:
        for owner in _alive(_owners):
            stack.callback(owner.before_fork)


def _after_in_parent() -> None:
    for lock in reversed(_held.stack.pop()):
        lock.release()


def _after_in_child() -> None:
    # Empty when the process was forked by something that does not announce it.
    held = set(map(id, _held.stack.pop())) if _held.stack else set[int]()
    for lock in (_forking, *_alive(_locks)):
        if id(lock) in held:
            lock.release()
        else:
            # A thread that is no more held it. The standard library frees its own locks in the same way.
            lock._at_fork_reinit()  # noqa: SLF001 — see above
    for owner in _alive(_owners):
        owner.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
