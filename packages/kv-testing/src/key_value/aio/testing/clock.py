"""A clock that tests can advance."""

from datetime import datetime, timedelta, timezone

from key_value.aio.core import clock
from typing_extensions import Self

__all__ = ["FakeClock"]


class FakeClock:
    """A context manager that replaces the clock of all stores in the process.

    It starts at the current time by default, so that a backend with its own clock sees plausible times.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime.now(timezone.utc)

    def now(self) -> datetime:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def __enter__(self) -> Self:
        self._real, clock.now = clock.now, self.now
        return self

    def __exit__(self, *_: object) -> None:
        clock.now = self._real
