"""StatisticsWrapper, and the dataclasses that it counts in."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, SupportsFloat

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
    """How many entries an operation was asked for: one for each key of a batch."""

    count: int = 0

    def increment(self, *, increment: int = 1) -> None:
        self.count += increment


@dataclass
class BaseHitMissStatistics(BaseStatistics):
    """How many of them there were."""

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
    """`get` and `get_many`."""


@dataclass
class TTLStatistics(BaseHitMissStatistics):
    """`ttl` and `ttl_many`."""


@dataclass
class PutStatistics(BaseStatistics):
    """`put` and `put_many`."""


@dataclass
class DeleteStatistics(BaseHitMissStatistics):
    """`delete` and `delete_many`, where a key that repeats counts once."""


@dataclass
class ExistsStatistics(BaseHitMissStatistics):
    """Of earlier versions; stays at zero."""


@dataclass
class KVStoreCollectionStatistics:
    """What was asked of a collection."""

    get: GetStatistics = field(default_factory=GetStatistics)
    ttl: TTLStatistics = field(default_factory=TTLStatistics)
    put: PutStatistics = field(default_factory=PutStatistics)
    delete: DeleteStatistics = field(default_factory=DeleteStatistics)
    exists: ExistsStatistics = field(default_factory=ExistsStatistics)

    @property
    def count(self) -> int:
        """All of it together."""
        return self.get.count + self.ttl.count + self.put.count + self.delete.count


@dataclass
class KVStoreStatistics:
    """The collections that were asked for anything, by name."""

    collections: dict[str, KVStoreCollectionStatistics] = field(default_factory=dict[str, KVStoreCollectionStatistics])

    def get_collection(self, collection: str) -> KVStoreCollectionStatistics:
        """The statistics of the collection, new ones where there are none."""
        found = self.collections.get(collection)
        return self.collections.setdefault(collection, KVStoreCollectionStatistics()) if found is None else found


class StatisticsWrapper(BaseWrapper):
    """Counts what is asked of each collection, in `statistics`.

    Counted is a call that returned; one that raised, and those of the optional protocols, are not. The counts are exact
    under any number of tasks and threads. `collection=None` counts as "default_collection", whatever the inner store
    calls it. There is one object for each collection that was ever named; to begin anew, assign a KVStoreStatistics().
    """

    statistics: KVStoreStatistics

    @warn_types
    def __init__(self, key_value: AsyncKeyValue) -> None:
        super().__init__(key_value)
        self.statistics = KVStoreStatistics()
        self._lock = threading.Lock()

    # Written out, these cost half a microsecond; over the base for calls it would be 1.5.

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
