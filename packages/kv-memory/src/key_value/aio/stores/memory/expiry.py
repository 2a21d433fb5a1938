"""A queue of entries by their time of expiry."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import heapify, heappop, heappush

__all__ = ["ExpiryQueue"]

_SMALLEST_REBUILD = 1024


class ExpiryQueue:
    """Names ordered by the time their entry expires.

    A name stays until then even if its entry is replaced or deleted; once such names may outnumber the others,
    `is_stale` requests a rebuild, so that the queue never holds more than twice as many names as the store.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str, str]] = []
        self._rebuild_size = _SMALLEST_REBUILD

    def push(self, expires_at: datetime, collection: str, key: str) -> None:
        heappush(self._heap, (expires_at, collection, key))

    @property
    def next_expiry(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def pop_expired(self, now: datetime, limit: int | None = None) -> Iterator[tuple[datetime, str, str]]:
        """Remove and return the expired names, at most `limit` of them, soonest first."""
        heap = self._heap
        while heap and heap[0][0] <= now and limit != 0:
            yield heappop(heap)
            limit = None if limit is None else limit - 1

    @property
    def is_stale(self) -> bool:
        return len(self._heap) >= self._rebuild_size

    def rebuild(self, names: Iterable[tuple[datetime, str, str]]) -> None:
        self._heap = list(names)
        heapify(self._heap)
        self._rebuild_size = max(_SMALLEST_REBUILD, 2 * len(self._heap))
