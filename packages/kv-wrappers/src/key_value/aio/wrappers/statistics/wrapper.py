"""StatisticsWrapper and its dataclasses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

from key_value.aio.core.forks import new_lock
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import DEFAULT_COLLECTION_NAME

__all__ = [
    "BaseHitMissStatistics",
    "BaseStatistics",
    "DeleteStatistics",
    "ExistsStatistics",
    "GetStatistics",
    "KVStoreCollectionStatistics",
    "KVStoreStatistics",
    "PutStatistics",
    "StatisticsWrapper",
    "TTLStatistics",
]


@dataclass
class BaseStatistics:
    """The number of entries that an operation was called for: one for each key of a batch."""

    count: int = 0

    def increment(self, *, increment: int = 1) -> None:
        self.count += increment


@dataclass
class BaseHitMissStatistics(BaseStatistics):
    """The number of requested entries, and how many of them existed (`hit`) or not (`miss`)."""

    count: int = 0
    hit: int = 0
    miss: int = 0

    def increment_hit(self, *, increment: int = 1) -> None:
        self.count += increment
        self.hit += increment

    def increment_miss(self, *, increment: int = 1) -> None:
        self.count += increment
        self.miss += increment


@dataclass
class GetStatistics(BaseHitMissStatistics):
    """Counts of `get` and `get_many`."""


@dataclass
class TTLStatistics(BaseHitMissStatistics):
    """Counts of `ttl` and `ttl_many`."""


@dataclass
class PutStatistics(BaseStatistics):
    """Counts of `put` and `put_many`."""


@dataclass
class DeleteStatistics(BaseHitMissStatistics):
    """Counts of `delete` and `delete_many`; a repeated key counts once."""


@dataclass
class ExistsStatistics(BaseHitMissStatistics):
    """Unused; kept for compatibility with earlier versions. Stays at zero."""


@dataclass
class KVStoreCollectionStatistics:
    """The counts of one collection."""

    get: GetStatistics = field(default_factory=GetStatistics)
    ttl: TTLStatistics = field(default_factory=TTLStatistics)
    put: PutStatistics = field(default_factory=PutStatistics)
    delete: DeleteStatistics = field(default_factory=DeleteStatistics)
    exists: ExistsStatistics = field(default_factory=ExistsStatistics)

    @property
    def count(self) -> int:
        """The sum of all counts."""
        return self.get.count + self.ttl.count + self.put.count + self.delete.count


@dataclass
class KVStoreStatistics:
    """The statistics of every collection used so far, by name."""

    collections: dict[str, KVStoreCollectionStatistics] = field(default_factory=dict[str, KVStoreCollectionStatistics])

    def get_collection(self, collection: str) -> KVStoreCollectionStatistics:
        """Return the statistics of the collection; create them if missing."""
        found = self.collections.get(collection)
        return self.collections.setdefault(collection, KVStoreCollectionStatistics()) if found is None else found


class StatisticsWrapper(BaseWrapper):
    """Counts the calls on each collection in `statistics`.

    Calls that raise and calls of optional protocols are not counted. The counts are exact with any number of tasks and
    threads. `collection=None` counts as "default_collection", whatever the inner store calls it. The statistics of a
    collection are never dropped; to reset all, assign `KVStoreStatistics()`.
    """

    statistics: KVStoreStatistics

    @warn_types
    def __init__(self, key_value: AsyncKeyValue) -> None:
        super().__init__(key_value)
        self.statistics = KVStoreStatistics()
        self._lock = new_lock()

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        new, arguments, state = super().__reduce_ex__(protocol)
        return new, arguments, {name: value for name, value in state.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = new_lock()

    # The methods are written out: 0.5 µs instead of 1.5 µs through BaseCallWrapper.

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        value = await self.key_value.get(key, collection=collection)
        with self._lock:
            counted = self._of(collection).get
            counted.count += 1
            if value is None:
                counted.miss += 1
            else:
                counted.hit += 1
        return value

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        pair = await self.key_value.ttl(key, collection=collection)
        with self._lock:
            _count(self._of(collection).ttl, 1, hits=pair[0] is not None)
        return pair

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        await self.key_value.put(key, value, collection=collection, ttl=ttl)
        with self._lock:
            self._of(collection).put.count += 1

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        deleted = await self.key_value.delete(key, collection=collection)
        with self._lock:
            _count(self._of(collection).delete, 1, hits=deleted)
        return deleted

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        values = await self.key_value.get_many(keys, collection=collection)
        with self._lock:
            _count(self._of(collection).get, len(values), hits=len(values) - values.count(None))
        return values

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        pairs = await self.key_value.ttl_many(keys, collection=collection)
        with self._lock:
            _count(self._of(collection).ttl, len(pairs), hits=sum(value is not None for value, _ in pairs))
        return pairs

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)
        with self._lock:
            self._of(collection).put.count += len(keys)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        deleted = await self.key_value.delete_many(keys, collection=collection)
        with self._lock:
            _count(self._of(collection).delete, len(set(keys)), hits=deleted)
        return deleted

    def _of(self, collection: str | None) -> KVStoreCollectionStatistics:
        return self.statistics.get_collection(DEFAULT_COLLECTION_NAME if collection is None else collection)


def _count(statistics: BaseHitMissStatistics, count: int, *, hits: int) -> None:
    statistics.count += count
    statistics.hit += hits
    statistics.miss += count - hits
