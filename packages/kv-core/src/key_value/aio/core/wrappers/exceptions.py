"""Validation of the exception classes that a wrapper handles."""

import sys
from collections.abc import Iterable
from typing import cast

__all__ = ["checked_exceptions"]


def checked_exceptions(exceptions: object, name: str) -> tuple[type[Exception], ...]:
    """Return one exception class or an iterable of them as a tuple, which may be empty.

    Before Python 3.11, TimeoutError includes asyncio's own class. Raises ValueError for anything that is not a subclass
    of Exception, such as CancelledError.
    """
    kinds = tuple(cast("Iterable[object]", exceptions)) if isinstance(exceptions, Iterable) else (exceptions,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        message = f"{name} must be classes of exceptions that derive from Exception; CancelledError does not"
        raise ValueError(message)
    if sys.version_info < (3, 11) and TimeoutError in kinds:
        from asyncio import TimeoutError as AsyncioTimeoutError

        kinds = (*kinds, AsyncioTimeoutError)
    return cast("tuple[type[Exception], ...]", kinds)
