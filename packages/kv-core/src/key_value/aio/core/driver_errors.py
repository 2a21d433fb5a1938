"""Translation of driver exceptions to `key_value.aio.errors`, by one table per backend."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from itertools import islice
from typing import Any, NoReturn

from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)

__all__ = ["DriverErrors", "LazyDriverErrors", "Meaning", "MeaningOf", "reason_of", "reraise"]

Meaning = type[BaseKeyValueError] | tuple[type[BaseKeyValueError], str | Callable[[Any], str]]
"""The error to raise, and the reason in its message: a text, or a function of the driver's exception.

A reason must not contain a value, password or token. The default is `reason_of`.
"""

MeaningOf = Callable[[Any], Meaning]
"""A function from a driver's exception to its meaning, for drivers that distinguish errors by a code."""

DriverErrors = Mapping[type[BaseException], Meaning | MeaningOf]
"""Exception class of a driver → its meaning. The first match in the exception's MRO applies.

Use StoreConnectionError only for errors that a retry may resolve, so not for a wrong password.
"""


class LazyDriverErrors(Mapping[type[BaseException], Meaning | MeaningOf]):
    """The table `DRIVER_ERRORS` of a module that is slow to import; imported when the first error is translated."""

    def __init__(self, module: str) -> None:
        self._module = module

    @cached_property
    def _table(self) -> DriverErrors:
        return import_module(self._module).DRIVER_ERRORS

    def __getitem__(self, error: type[BaseException]) -> Meaning | MeaningOf:
        return self._table[error]

    def __iter__(self) -> Iterator[type[BaseException]]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


_SUMMARIES: dict[type[BaseKeyValueError], str] = {
    StoreTimeoutError: "did not answer in time",
    StoreConnectionError: "cannot be reached",
    StoreSetupError: "cannot be used",
}

_MAX_CHAIN_LENGTH = 10

# The message of asyncio.get_running_loop without an asyncio event loop, also under another library such as trio.
_NO_EVENT_LOOP = "no running event loop"


def reraise(
    error: Exception, table: DriverErrors, backend: str, *, otherwise: type[BaseKeyValueError] | None = None
) -> NoReturn:
    """Raise the translation of a driver's exception, with the original as its cause.

    A BaseKeyValueError is raised unchanged, and so is an exception that is not in the table. `otherwise`, if given, is
    used for the latter and in place of a plain KeyValueStoreError. A missing asyncio event loop always raises
    RuntimeError. The message names the backend and the reason, by default the class of the driver's exception, because
    its text may show a value or a password.
    """
    # Not the builtin TimeoutError before Python 3.11. Imported late: asyncio takes longer to import than all the rest.
    from asyncio import TimeoutError as AsyncioTimeoutError

    if isinstance(error, BaseKeyValueError):
        raise error
    if type(error) is RuntimeError and str(error) == _NO_EVENT_LOOP:
        message = f"{backend} requires asyncio: await it in a coroutine run by asyncio, as in asyncio.run(main())"
        raise RuntimeError(message) from error
    known: dict[type[BaseException], Meaning | MeaningOf] = {
        TimeoutError: StoreTimeoutError,
        AsyncioTimeoutError: StoreTimeoutError,
        OSError: StoreConnectionError,
        **table,
    }
    meaning = next((known[ancestor] for ancestor in type(error).__mro__ if ancestor in known), otherwise)
    if meaning is None:
        raise error
    kind, reason = _resolve(meaning, error)
    if otherwise is not None and kind is KeyValueStoreError:
        kind = otherwise
    if issubclass(kind, StoreConnectionError) and _bad_certificate(error) is not None:
        kind = StoreSetupError
    summary = next((text for each, text in _SUMMARIES.items() if issubclass(kind, each)), "failed")
    message = f"{backend} {summary}: {reason if isinstance(reason, str) else reason(error)}"
    raise kind(message) from error


def _resolve(
    meaning: Meaning | MeaningOf, error: Exception
) -> tuple[type[BaseKeyValueError], str | Callable[[Any], str]]:
    if isinstance(meaning, type):
        return meaning, reason_of
    if callable(meaning):
        return _resolve(meaning(error), error)
    return meaning


def reason_of(error: BaseException) -> str:
    """Return the reason that the operating system or TLS gives in the error or its causes, else the error's class."""
    certificate = _bad_certificate(error)
    if certificate is not None:
        return f"the certificate was refused: {certificate}"
    from socket import gaierror
    from ssl import SSLError

    tls = [each for each in _chain(error) if isinstance(each, SSLError)]
    if tls:
        # The errno of an SSLError is not an error number of the operating system.
        return f"TLS failed: {_first_attribute(tls, 'reason').replace('_', ' ').lower()}"
    for each in _chain(error):
        if isinstance(each, gaierror):
            return "unknown host"
        number = _errno(each) if isinstance(each, OSError) else 0
        if number > 0:
            return os.strerror(number).lower()
    return type(error).__qualname__


def _errno(error: OSError) -> int:
    # If a host has several addresses, asyncio gives their error numbers only in the text.
    numbers = re.findall(r"\[Errno (\d+)\]", str(error)) if error.errno is None else []
    return int(numbers[-1]) if numbers else error.errno or 0


def _bad_certificate(error: BaseException) -> str | None:
    from ssl import SSLCertVerificationError

    refused = [each for each in _chain(error) if isinstance(each, SSLCertVerificationError)]
    return _first_attribute(refused, "verify_message") if refused else None


def _first_attribute(errors: Iterable[BaseException], attribute: str) -> str:
    """Return the first value of the attribute. aiohttp's errors subclass the standard ones without setting it."""
    return next(filter(None, (getattr(each, attribute, None) for each in errors)), "unknown reason")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes."""

    def causes() -> Iterator[BaseException]:
        current: BaseException | None = error
        while current is not None:
            yield current
            current = current.__cause__ or current.__context__

    return islice(causes(), _MAX_CHAIN_LENGTH)
