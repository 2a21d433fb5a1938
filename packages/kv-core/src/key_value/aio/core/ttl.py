"""Computation of expiry times."""

from datetime import datetime, timedelta
from math import inf
from typing import SupportsFloat

from key_value.aio.core.type_checks import require
from key_value.aio.errors import InvalidTTLError

__all__ = ["expiry"]

_EXPECTED = "a number of seconds or None"


def expiry(now: datetime, ttl: SupportsFloat, *, name: str = "ttl", expected: str = _EXPECTED) -> datetime:
    """Return the time `ttl` seconds after `now`. `name` and `expected` describe the parameter in messages.

    Raises TypeError if `ttl` is not a number, and InvalidTTLError if it is a bool, not finite, not above zero or ends
    after the year 9999.
    """
    # Skip the type check for an exact float or int: isinstance(ttl, SupportsFloat) takes 5 µs.
    if type(ttl) is not float and type(ttl) is not int:
        if isinstance(ttl, bool):
            raise InvalidTTLError(ttl, name=name)
        require(ttl, SupportsFloat, name=name, expected=expected)
    try:
        seconds = float(ttl)
        if 0 < seconds < inf:
            return now + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as exc:
        raise InvalidTTLError(ttl, name=name) from exc
    raise InvalidTTLError(ttl, name=name)
