"""Fork safety: holds locks while the process forks, and keeps the parent's resources from being used in the child."""

import os
import threading
import time
from contextlib import ExitStack
from typing import Any
from weakref import WeakValueDictionary

from key_value.aio.errors import StoreSetupError

__all__ = ["ForkAware", "ForkGuard", "leave_to_parent", "new_lock", "sever", "yield_to_fork"]

# A transaction of a thousand writes takes 20 ms. A longer call waits for something outside the process, such as a lock
# of another process or the user, and holds nothing that a child needs.
_LOCK_WAIT_SECONDS = 2.0

_forking: Any = threading.Lock()


class _HeldLocks(threading.local):
    """The locks that this thread holds for a fork. A stack, because a signal handler may fork during a fork."""

    def __init__(self) -> None:
        self.stack: list[list[Any]] = []


_held = _HeldLocks()

# Keyed by id: the objects need not be hashable, and `valuerefs` returns a list that no other thread changes.
_locks: "WeakValueDictionary[int, Any]" = WeakValueDictionary()
_participants: "WeakValueDictionary[int, ForkAware]" = WeakValueDictionary()

_parents_resources: list[object] = []


class ForkAware:
    """Base class of objects with fork handlers."""

    def __init__(self) -> None:
        _participants[id(self)] = self

    def before_fork(self) -> None:
        """Run in the forking thread, which holds all locks of `new_lock` that it acquired within two seconds."""

    def after_fork_in_child(self) -> None:
        """Run in the only thread of the child, where all locks are free."""


class ForkGuard(ForkAware):
    """Guard for a driver that starts threads: once the parent has used it, it cannot work in a forked child."""

    def __init__(self, driver: str) -> None:
        super().__init__()
        self._driver = driver
        self._was_used = False
        self._is_parents = False

    def use(self) -> None:
        """Record a use of the driver. Raises StoreSetupError in a child of a process that has used the driver."""
        if self._is_parents:
            message = (
                f"{self._driver} does not work after a fork, and was in use when this process was forked: "
                "use it only after forking, or spawn the process instead"
            )
            raise StoreSetupError(message)
        self._was_used = True

    def after_fork_in_child(self) -> None:
        self._is_parents = self._was_used


def new_lock() -> threading.RLock:
    """Create a lock that no other thread holds while the process forks, and that is always free in the child.

    It is reentrant, so that a fork in a signal handler does not wait for a lock that the interrupted code holds. A fork
    waits two seconds at most, so hold the lock only briefly.
    """
    lock = threading.RLock()
    _locks[id(lock)] = lock
    return lock


def yield_to_fork() -> None:
    """Let a thread that is about to fork go first. Call it between releasing a lock and reacquiring it immediately."""
    if _forking.locked():
        with _forking:
            pass


def leave_to_parent(resource: object) -> None:
    """Keep a resource of the parent open in the child: hold a reference, so that garbage collection never closes it."""
    _parents_resources.append(resource)


def sever(transport: Any) -> None:
    """Detach a transport in the child from the parent's connection, so that the child neither uses nor closes it.

    An inherited event loop shares its selector with the parent's, so unregistering the socket would unregister it there
    too. Instead, the socket's file descriptor is replaced by a socket at EOF, which the loop then finds.
    """
    from socket import socketpair

    connection = transport.get_extra_info("socket")
    if connection is None or connection.fileno() < 0:
        return
    at_eof, peer = socketpair()
    with at_eof, peer:
        peer.close()
        os.dup2(at_eof.fileno(), connection.fileno(), inheritable=False)


def _alive(objects: "WeakValueDictionary[int, Any]") -> list[Any]:
    return [each for reference in objects.valuerefs() if (each := reference()) is not None]


def _before() -> None:
    deadline = time.monotonic() + _LOCK_WAIT_SECONDS
    locks = (_forking, *_alive(_locks))
    _held.stack.append([lock for lock in locks if lock.acquire(timeout=max(0.0, deadline - time.monotonic()))])
    with ExitStack() as stack:
        for participant in _alive(_participants):
            stack.callback(participant.before_fork)


def _after_in_parent() -> None:
    for lock in reversed(_held.stack.pop()):
        lock.release()


def _after_in_child() -> None:
    # Empty if the fork did not run the before-fork handlers.
    held = set(map(id, _held.stack.pop())) if _held.stack else set[int]()
    for lock in (_forking, *_alive(_locks)):
        if id(lock) in held:
            lock.release()
        else:
            # Held by a thread that does not exist in the child. The standard library frees its locks in the same way.
            lock._at_fork_reinit()  # noqa: SLF001 — see above
    for participant in _alive(_participants):
        participant.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
