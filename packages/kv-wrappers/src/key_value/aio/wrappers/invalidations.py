"""Entries that PassthroughCacheWrapper must not read from its cache."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from key_value.aio.core import clock
from key_value.aio.wrappers.shared_reads import Scope

__all__ = ["Invalidations"]

_MOST_SUSPECTS = 10_000


class Invalidations:
    """The scopes being written, and the suspect scopes: those that could not be removed from the cache.

    A scope stays suspect until it is replaced in the cache, or for `maximum_ttl` seconds. Hold the lock of the shared
    reads to call any method but `is_empty` and `allow_reading`.
    """

    def __init__(self, maximum_ttl: float) -> None:
        self._suspect_lifetime = timedelta(seconds=maximum_ttl)
        self._writes: dict[Scope, int] = {}
        self._suspects: dict[Scope, datetime] = {}

    @property
    def is_empty(self) -> bool:
        return not self._writes and not self._suspects

    def allow_reading(self, collection: str, key: str) -> bool:
        scopes: tuple[Scope, ...] = ((collection, key), (collection,), ())
        return not any(scope in self._writes or self._is_suspect(scope) for scope in scopes)

    def allow_filling(self, collection: str | None, key: str) -> bool:
        """Return whether a value read now may be cached. Caching it replaces a suspect entry."""
        if (collection, key) in self._writes:
            return False
        return not any(scope in self._writes or self._is_suspect(scope) for scope in ((collection,), ()))

    def is_known_suspect(self, collection: str | None, key: str) -> bool:
        return (collection, key) in self._suspects

    def begin(self, scopes: Iterable[Scope]) -> None:
        """Record the start of a write."""
        for scope in scopes:
            self._writes[scope] = self._writes.get(scope, 0) + 1

    def end(self, scopes: Sequence[Scope], *, removed: bool) -> None:
        """Record the end of a write. `removed`: whether its scopes were removed from the cache."""
        for scope in scopes:
            self._writes[scope] -= 1
            if not self._writes[scope]:
                del self._writes[scope]
            if removed:
                self._suspects.pop(scope, None)
        if not removed:
            self._suspect(scopes)

    def replaced(self, collection: str | None, key: str) -> None:
        """Record that the cache stored a new entry for the key, or removed it."""
        self._suspects.pop((collection, key), None)

    def _is_suspect(self, scope: Scope) -> bool:
        until = self._suspects.get(scope)
        return until is not None and until > clock.now()

    def _suspect(self, scopes: Iterable[Scope]) -> None:
        now = clock.now()
        until = now + self._suspect_lifetime
        self._suspects.update(dict.fromkeys(scopes, until))
        if len(self._suspects) > _MOST_SUSPECTS:
            live = {scope: end for scope, end in self._suspects.items() if end > now}
            self._suspects = live if len(live) <= _MOST_SUSPECTS // 2 else {(): until}
