"""The one clock of the project. Tests replace `now` to let time pass; so it is called as `clock.now()`."""

from collections.abc import Callable
from datetime import datetime, timezone
from functools import partial

__all__ = ["now"]

# A partial of a C function costs no Python frame.
now: Callable[[], datetime] = partial(datetime.now, timezone.utc)
