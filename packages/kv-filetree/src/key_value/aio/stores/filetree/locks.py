"""Locks on directories. The operating system releases them when the holding process ends."""

import errno
import time

from key_value.aio.errors import StoreTimeoutError

__all__ = ["HAS_LOCKS", "Lock", "can_be_locked"]

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

HAS_LOCKS = fcntl is not None

# Errors of file systems without locks or, like NFS, without locks on directories.
_UNSUPPORTED_ERRNOS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF, errno.ENOLCK}

# A lock is normally held for about 50 µs. A longer wait means that the holder is suspended.
_LOCK_WAIT_SECONDS = 30.0
_RETRY_SECONDS = 0.0001


class Lock:
    """A context manager that locks a directory, and returns False if the file system has no locks.

    Entering waits for other holders, and raises StoreTimeoutError after 30 s. Exiting unlocks explicitly, because
    closing the descriptor does not unlock while a forked process has a copy of it.
    """

    __slots__ = ("_descriptor", "_exclusive", "_is_held")

    def __init__(self, descriptor: int | None, *, exclusive: bool) -> None:
        self._descriptor = descriptor
        self._exclusive = exclusive
        self._is_held = False

    def __enter__(self) -> bool:
        outcome = _try_to_lock(self._descriptor, exclusive=self._exclusive)
        if outcome is None:
            outcome = self._wait()
        self._is_held = outcome
        return outcome

    def __exit__(self, *_: object) -> None:
        if self._is_held:
            _unlock(self._descriptor)

    def _wait(self) -> bool:
        end = time.monotonic() + _LOCK_WAIT_SECONDS
        while True:
            time.sleep(_RETRY_SECONDS)
            outcome = _try_to_lock(self._descriptor, exclusive=self._exclusive)
            if outcome is not None:
                return outcome
            if time.monotonic() > end:
                message = f"another process has kept the directory locked for {_LOCK_WAIT_SECONDS:g} s, the limit"
                raise StoreTimeoutError(message)


def _try_to_lock(descriptor: int | None, *, exclusive: bool) -> bool | None:
    """Return whether the lock was taken: None while others hold it, False if there are no locks."""
    if fcntl is None or descriptor is None:
        return False
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    except OSError as exc:
        if exc.errno in _UNSUPPORTED_ERRNOS:
            return False
        raise
    return True


def _unlock(descriptor: int | None) -> None:
    if fcntl is not None and descriptor is not None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def can_be_locked(descriptor: int | None) -> bool:
    """Whether the file system supports locks on directories."""
    outcome = _try_to_lock(descriptor, exclusive=True)
    if outcome:
        _unlock(descriptor)
    return outcome is not False
