"""Which exceptions a wrapper acts on."""

import sys
from collections.abc import Iterable
from typing import cast

__all__ = ["checked_exceptions"]


def checked_exceptions(exceptions: object, name: str) -> tuple[type[Exception], ...]:
    """One class of exceptions or several, as a tuple; none means that the wrapper never acts.

    TimeoutError includes asyncio's own before Python 3.11. Raises ValueError for anything else, such as a cancellation,
    which is not an Exception.
    """
    kinds = tuple(cast("Iterable[object]", exceptions)) if isinstance(exceptions, Iterable) else (exceptions,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        message = f"{name} must be classes of exceptions; a cancellation is not one, and always passes"
        raise ValueError(message)
    if sys.version_info < (3, 11) and TimeoutError in kinds:
        from asyncio import TimeoutError as AsyncioTimeoutError  # the builtin one since Python 3.11

        kinds = (*kinds, AsyncioTimeoutError)
    return cast("tuple[type[Exception], ...]", kinds)
