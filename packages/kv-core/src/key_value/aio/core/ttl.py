"""The time at which an entry expires."""

from datetime import datetime, timedelta
from math import inf
from typing import SupportsFloat

from key_value.aio.core.type_checks import require
from key_value.aio.errors import InvalidTTLError

__all__ = ["expiry"]


def expiry(now: datetime, ttl: SupportsFloat) -> datetime:
    """The time `ttl` seconds after `now`.

    Raises TypeError if it is not a number, InvalidTTLError if it is a bool, not finite, not above zero or ends after
    the year 9999.
    """
    # An exact float or int needs no look at its type; isinstance(ttl, SupportsFloat) costs 5 µs.
    if type(ttl) is not float and type(ttl) is not int:
        if isinstance(ttl, bool):
            raise InvalidTTLError(ttl)
        require(ttl, SupportsFloat, name="ttl", expected="a number of seconds or None")
    try:
        seconds = float(ttl)
        if 0 < seconds < inf:
            return now + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as exc:
        raise InvalidTTLError(ttl) from exc
    raise InvalidTTLError(ttl)
