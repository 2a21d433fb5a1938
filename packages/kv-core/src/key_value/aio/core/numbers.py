"""Validation of constructor arguments: counts, factors, seconds, and the types of numbers and paths."""

import os
import sys
from contextlib import suppress
from math import inf
from operator import index
from typing import Any, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.directories import PathOption
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import InvalidTTLError

__all__ = [
    "checked_count",
    "checked_int",
    "checked_number",
    "checked_paths",
    "checked_seconds",
    "checked_timeout",
    "require_number",
    "scaled_timeout",
]


def checked_count(number: Any, name: str, *, least: int = 0) -> int:
    """Return the integer. Raises ValueError for anything else, including a bool, and for a number below `least`."""
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        message = f"{name} must be a whole number of at least {least}, not {number!r:.80}"
        raise ValueError(message)
    return number


def checked_int(number: Any, name: str) -> int | None:
    """Return the integer or None, after converting an integral float or an integer of another library.

    Raises TypeError for anything else, including a bool.
    """
    if number is None:
        return None
    if isinstance(number, float):
        if number.is_integer():
            return int(number)
    elif not isinstance(number, bool):
        with suppress(TypeError):
            return index(number)
    raise _wrong_type(name, "an int or None", number)


def checked_number(number: Any, name: str, *, unit: str = "") -> float:
    """Return the number. Raises ValueError unless it is finite and at least 0; `unit` is used in the message."""
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number <= sys.float_info.max:
        message = f"{name} must be a finite number{unit and f' of {unit}'} of at least 0, not {number!r:.80}"
        raise ValueError(message)
    return number


def checked_paths(**paths: Any) -> dict[str, PathOption]:
    """Return the arguments by name. Raises TypeError unless each is a str, an `os.PathLike` of a str, or None."""
    for name, path in paths.items():
        try:
            is_text = path is None or isinstance(os.fspath(path), str)
        except TypeError:
            is_text = False
        if not is_text:
            raise _wrong_type(name, "a str or a path", path)
    return paths


def checked_seconds(ttl: SupportsFloat, name: str) -> float:
    """Return the ttl in seconds. Raises ValueError unless it is finite, above zero and ends before the year 10000."""
    try:
        expiry(clock.now(), ttl, name=name, expected="a number of seconds")
    except InvalidTTLError as exc:
        refused = "; a bool is not accepted" if isinstance(ttl, bool) else ""
        message = f"{name} must be a finite number of seconds above zero that ends before the year 10000{refused}"
        raise ValueError(message) from exc
    return float(ttl)


def checked_timeout(seconds: Any, name: str = "timeout") -> float | None:
    """Return the time limit in seconds, or None, which means no limit, for None and infinity.

    Raises ValueError for anything else that is not a number above zero.
    """
    if seconds is None or seconds == inf:
        return None
    is_number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not is_number or not 0 < seconds <= sys.float_info.max:
        message = f"{name} must be a number of seconds above zero, or None for no limit, not {seconds!r:.80}"
        raise ValueError(message)
    return seconds


def require_number(number: Any, name: str, *, optional: bool = False) -> None:
    """Raise TypeError unless the argument is an int or float (not a bool), or None if `optional`."""
    is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
    if not is_number and not (optional and number is None):
        raise _wrong_type(name, "a number or None" if optional else "a number", number)


def scaled_timeout(seconds: float | None, entries: int, *, per: int = 1000) -> float | None:
    """Return the time limit of a batch: `seconds`, plus `seconds` for every `per` entries. None stays None."""
    return None if seconds is None else seconds * (1 + entries // per)


def _wrong_type(name: str, expected: str, argument: object) -> TypeError:
    return TypeError(f"{name} must be {expected}, not {type(argument).__qualname__}")
