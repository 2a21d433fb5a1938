"""The clock of the whole project. Call it as `clock.now()`, because tests replace `now` to simulate time."""

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial

__all__ = ["from_microseconds", "microseconds_now", "now", "to_microseconds"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)

# A partial of a C function runs without a Python frame.
now: Callable[[], datetime] = partial(datetime.now, timezone.utc)


def microseconds_now() -> int:
    """Return the current time in microseconds since 1970."""
    return (now() - _EPOCH) // _MICROSECOND


def to_microseconds(moment: datetime | None) -> int | None:
    """Convert to microseconds since 1970, exactly; None for None."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int | None) -> datetime | None:
    """Convert microseconds since 1970 to a datetime; None for None. Raises OverflowError beyond the years 1 to 9999."""
    return None if number is None else _EPOCH + timedelta(microseconds=number)
