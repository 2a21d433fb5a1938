"""A priority queue of entries by expiry time."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from heapq import heapify, heappop, heappush

__all__ = ["ExpiryQueue"]

_MIN_REBUILD_NAMES = 1024


class ExpiryQueue:
    """Names of entries, ordered by expiry time.

    A name stays in the queue until its expiry, even if the entry is replaced or deleted. Once such stale names may
    outnumber the others, `is_stale` requests a rebuild, which limits the queue to twice as many names as the store.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[datetime, str, str]] = []
        self._rebuild_size = _MIN_REBUILD_NAMES

    def push(self, expires_at: datetime, collection: str, key: str) -> None:
        heappush(self._heap, (expires_at, collection, key))

    @property
    def next_expiry(self) -> datetime | None:
        return self._heap[0][0] if self._heap else None

    def pop_expired(self, now: datetime, limit: int | None = None) -> Iterator[tuple[datetime, str, str]]:
        """Remove and yield expired names, at most `limit` of them, earliest first."""
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
        self._rebuild_size = max(_MIN_REBUILD_NAMES, 2 * len(self._heap))
