"""Validation of numeric constructor arguments: counts, factors, seconds."""

import sys
from math import inf
from typing import Any, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.core.ttl import expiry
from key_value.aio.errors import InvalidTTLError

__all__ = ["checked_count", "checked_number", "checked_seconds", "checked_timeout", "scaled_timeout"]


def checked_count(number: Any, name: str, *, least: int = 0) -> int:
    """Return the integer. Raises ValueError for anything else, including a bool, and for a number below `least`."""
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        message = f"{name} must be a whole number of at least {least}, not {number!r:.80}"
        raise ValueError(message)
    return number


def checked_number(number: Any, name: str, *, unit: str = "") -> float:
    """Return the number. Raises ValueError unless it is finite and at least 0; `unit` is used in the message."""
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number <= sys.float_info.max:
        message = f"{name} must be a finite number{unit and f' of {unit}'} of at least 0, not {number!r:.80}"
        raise ValueError(message)
    return number


def checked_seconds(ttl: SupportsFloat, name: str) -> float:
    """Return the ttl in seconds. Raises ValueError unless it is finite, above zero and ends before the year 10000."""
    try:
        expiry(clock.now(), ttl)
    except InvalidTTLError as exc:
        message = f"{name} must be a finite number of seconds above zero that ends before the year 10000"
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


def scaled_timeout(seconds: float | None, entries: int, *, per: int = 1000) -> float | None:
    """Return the time limit of a batch: `seconds`, plus `seconds` for every `per` entries. None stays None."""
    return None if seconds is None else seconds * (1 + entries // per)
