"""From a driver's exception to one of ours: one table for each backend, applied once around its hooks."""

from collections.abc import Mapping
from typing import NoReturn

from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreTimeoutError

__all__ = ["DriverErrors", "reraise"]

DriverErrors = Mapping[type[BaseException], type[BaseKeyValueError]]
"""Exception class of a driver → what it means. The closest class in the exception's ancestry decides."""

_MEANINGS: dict[type[BaseKeyValueError], str] = {
    StoreTimeoutError: "did not answer in time",
    StoreConnectionError: "cannot be reached",
}


def reraise(
    error: Exception, table: DriverErrors, backend: str, *, otherwise: type[BaseKeyValueError] | None = None
) -> NoReturn:
    """Raise what the driver's error means, with the original as its cause.

    Our own errors and those the table does not name are raised as they are, the latter as `otherwise` where given.
    The message names the backend and the driver's class only: a driver's text may show a value or a password.
    """
    # Not the builtin before Python 3.11, and asyncio takes longer to import than everything else together.
    from asyncio import TimeoutError as AsyncioTimeoutError

    if isinstance(error, BaseKeyValueError):
        raise error
    known: dict[type[BaseException], type[BaseKeyValueError]] = {
        TimeoutError: StoreTimeoutError,
        AsyncioTimeoutError: StoreTimeoutError,
        OSError: StoreConnectionError,
        **table,
    }
    meaning = next((known[ancestor] for ancestor in type(error).__mro__ if ancestor in known), otherwise)
    if meaning is None:
        raise error
    what = next((text for kind, text in _MEANINGS.items() if issubclass(meaning, kind)), "failed")
    message = f"{backend} {what}: {type(error).__qualname__}"
    raise meaning(message) from error
