"""What a store must answer, by a dict."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from key_value.aio.testing.clock import FakeClock

__all__ = ["Model", "Names"]

Names = tuple[str, str]
"""Collection and key."""


class Model:
    """The content of a store, as a dict: (collection, key) → value and time of expiry."""

    def __init__(self, clock: FakeClock, *, native_expiry: bool) -> None:
        self._clock = clock
        self._native_expiry = native_expiry
        self._entries: dict[Names, tuple[dict[str, Any], datetime | None]] = {}
        self._writes: dict[Names, int] = {}
        self._write = 0

    def write_of(self, at: Names) -> int | None:
        """The number of the write that stored the live entry; None when there is none."""
        return None if self.get(at) is None else self._writes[at]

    def may_be(self, at: Names, write: int | None) -> set[bool]:
        """Whether a store may find the entry to be of this write, or for None absent."""
        answers = {self.write_of(at) == write}
        if self._native_expiry and at in self._entries and self.get(at) is None:
            answers |= {self._writes[at] == write}
        return answers

    def put(self, at: Names, value: dict[str, Any], ttl: float | None) -> None:
        self._entries[at] = value, None if ttl is None else self._clock.now() + timedelta(seconds=ttl)
        self._write += 1
        self._writes[at] = self._write

    def get(self, at: Names) -> dict[str, Any] | None:
        return self.ttl(at)[0]

    def ttl(self, at: Names) -> tuple[dict[str, Any] | None, float | None]:
        value, expires_at = self._entries.get(at, (None, None))
        if expires_at is None:
            return value, None
        remaining = (expires_at - self._clock.now()).total_seconds()
        return (value, remaining) if remaining > 0 else (None, None)

    def at_least(self) -> set[Names]:
        return {at for at in self._entries if self.get(at) is not None}

    def at_most(self) -> set[Names]:
        # A backend that expires entries by its own clock still has those that only the fake clock expired.
        return set(self._entries) if self._native_expiry else self.at_least()

    def forget(self, entries: Iterable[Names]) -> range:
        """Remove the entries; the numbers of them that a store may have had."""
        removed = set(entries)
        numbers = range(len(removed & self.at_least()), len(removed & self.at_most()) + 1)
        self._entries = {at: entry for at, entry in self._entries.items() if at not in removed}
        return numbers
