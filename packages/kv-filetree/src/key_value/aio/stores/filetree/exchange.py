"""Atomic exchange of two file names by renameat2 of Linux, which Python does not offer."""

import errno
import os
from collections.abc import Callable
from functools import cache

__all__ = ["exchange"]

_RENAME_EXCHANGE = 2
_UNSUPPORTED_ERRNOS = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EPERM}


def exchange(descriptor: int | None, one: str, other: str) -> bool:
    """Exchange two names in the directory; return False if the system or file system does not support that.

    Raises OSError, such as FileNotFoundError if either name does not exist.
    """
    call = None if descriptor is None else _renameat2()
    if call is None:
        return False
    number = call(descriptor, os.fsencode(one), descriptor, os.fsencode(other), _RENAME_EXCHANGE)
    if number in _UNSUPPORTED_ERRNOS:
        return False
    if number:
        raise OSError(number, os.strerror(number), one, None, other)
    return True


@cache
def _renameat2() -> Callable[..., int] | None:
    """Return the C library's function, which returns an errno or 0. None if there is none."""
    # Deferred: the import takes 4 ms, and only conditional writes need it.
    import ctypes

    try:
        function = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return None
    function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]

    def call(*arguments: object) -> int:
        return ctypes.get_errno() if function(*arguments) else 0

    return call
