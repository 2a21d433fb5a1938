"""A reference model of a store: a dict."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from key_value.aio.testing.clock import FakeClock

__all__ = ["Model", "Names"]

Names = tuple[str, str]
"""Collection and key."""


class Model:
    """The content of a store, as a dict: (collection, key) → value and expiry time."""

    def __init__(self, clock: FakeClock, *, native_expiry: bool) -> None:
        self._clock = clock
        self._native_expiry = native_expiry
        self._entries: dict[Names, tuple[dict[str, Any], datetime | None]] = {}
        self._write_numbers: dict[Names, int] = {}
        self._last_write = 0

    def live_write_number(self, entry: Names) -> int | None:
        """Return the number of the write that stored the live entry; None if there is no live entry."""
        return None if self.get(entry) is None else self._write_numbers[entry]

    def allowed_results(self, entry: Names, number: int | None) -> set[bool]:
        """Return the allowed results of checking that the entry is of this write, or absent for None."""
        results = {self.live_write_number(entry) == number}
        if self._native_expiry and entry in self._entries and self.get(entry) is None:
            results |= {self._write_numbers[entry] == number}
        return results

    def put(self, entry: Names, value: dict[str, Any], ttl: float | None) -> None:
        self._entries[entry] = value, None if ttl is None else self._clock.now() + timedelta(seconds=ttl)
        self._last_write += 1
        self._write_numbers[entry] = self._last_write

    def get(self, entry: Names) -> dict[str, Any] | None:
        return self.ttl(entry)[0]

    def ttl(self, entry: Names) -> tuple[dict[str, Any] | None, float | None]:
        value, expires_at = self._entries.get(entry, (None, None))
        if expires_at is None:
            return value, None
        remaining = (expires_at - self._clock.now()).total_seconds()
        return (value, remaining) if remaining > 0 else (None, None)

    def required_entries(self) -> set[Names]:
        return {entry for entry in self._entries if self.get(entry) is not None}

    def possible_entries(self) -> set[Names]:
        # A backend with native expiry still has entries that expired only by the fake clock.
        return set(self._entries) if self._native_expiry else self.required_entries()

    def remove(self, entries: Iterable[Names]) -> range:
        """Remove the entries; return how many of them a store may report as removed."""
        removed = set(entries)
        numbers = range(len(removed & self.required_entries()), len(removed & self.possible_entries()) + 1)
        self._entries = {entry: stored for entry, stored in self._entries.items() if entry not in removed}
        return numbers
