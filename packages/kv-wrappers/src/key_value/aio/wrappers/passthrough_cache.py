"""PassthroughCacheWrapper: a fast store in front of a slow one."""

from asyncio import gather, wait_for
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from math import floor, log
from typing import Any, SupportsFloat, TypeVar

from key_value.aio.core import clock
from key_value.aio.core.names import checked_name, checked_names
from key_value.aio.core.numbers import checked_seconds
from key_value.aio.core.operations import Operation
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper, Call
from key_value.aio.core.wrappers.base import checked_store
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncKeyValue,
)
from key_value.aio.wrappers.cache_store import CacheStore, attempt
from key_value.aio.wrappers.invalidations import Invalidations
from key_value.aio.wrappers.shared_reads import Pair, Scope, SharedRead, SharedReads, in_order

__all__ = ["PassthroughCacheWrapper"]

R = TypeVar("R")

_DEFAULT_TTL_SECONDS = 1800.0

_ABSENT_MARKER = {"__absent_in_primary__": True}
"""The value cached for a key that is absent in the primary. A stored value equal to it is never cached."""

_MIN_TTL_SECONDS = 1e-6


class PassthroughCacheWrapper(BaseWrapper):
    """Reads from the cache, or else from the primary store, and caches the result.

    Concurrent reads of an uncached key, from any number of event loops, share one read of the primary. `ttl` and
    `ttl_many` always read the primary, because only it knows when an entry expires. So do the methods that list keys
    and collections. The wrapper has the optional protocols and capabilities of the primary.

    A write goes to the primary first. Then its keys are removed from the cache, whether it succeeded, failed or was
    cancelled. Until they are removed, reads of these keys go to the primary and are not cached. Therefore a read that
    begins after a write through this wrapper never returns the old value. Changes by other writers become visible when
    the cached entry expires, after `maximum_ttl` at the latest.

    A failing cache slows operations down but never makes them fail: a warning without values is logged, and the primary
    is used. An entry that could not be removed from the cache is not read from it until it is replaced.

    The cache store must not be used by anything else: the wrapper treats its entries as copies, and `destroy` empties
    it. If the primary has no `default_collection` attribute, its default collection is not cached.
    """

    @warn_types
    def __init__(
        self,
        primary_key_value: AsyncKeyValue,
        cache_key_value: AsyncKeyValue,
        maximum_ttl: SupportsFloat | None = None,
        missing_ttl: SupportsFloat | None = None,
        *,
        negative_ttl: SupportsFloat | None = None,
        cache_timeout: float = 5.0,
    ) -> None:
        """All times are in seconds. An entry is cached for its remaining ttl, at most for `maximum_ttl`.

        `missing_ttl` applies to entries without ttl. None means 30 minutes for both. With `negative_ttl`, the absence
        of a key is cached too, for that time. A cache operation fails after `cache_timeout`.

        Raises ValueError for a time that is not finite and above zero, and if both stores are the same object.
        """
        if cache_key_value is primary_key_value:
            message = "cache_key_value and primary_key_value must be different stores"
            raise ValueError(message)
        self.maximum_ttl: float = (
            _DEFAULT_TTL_SECONDS if maximum_ttl is None else checked_seconds(maximum_ttl, "maximum_ttl")
        )
        missing_ttl = _DEFAULT_TTL_SECONDS if missing_ttl is None else checked_seconds(missing_ttl, "missing_ttl")
        self.missing_ttl: float = min(missing_ttl, self.maximum_ttl)
        self.negative_ttl: float | None = (
            None if negative_ttl is None else min(checked_seconds(negative_ttl, "negative_ttl"), self.maximum_ttl)
        )
        self.cache_timeout: float = checked_seconds(cache_timeout, "cache_timeout")
        super().__init__(primary_key_value)
        self.cache_key_value: AsyncKeyValue = checked_store(cache_key_value, "cache_key_value")
        self._cache = CacheStore(cache_key_value, self.cache_timeout)
        self._reads = SharedReads(self._run)
        self._invalidations = Invalidations(self.maximum_ttl)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r}, {self.cache_key_value!r})"

    # Lifecycle

    async def setup(self) -> None:
        """Open both stores now. A failure of the cache is only logged."""
        await super().setup()
        await self._cache.setup()

    async def close(self) -> None:
        """Close both stores. A failure of the cache is only logged."""
        try:
            await super().close()
        finally:
            await self._cache.close()

    # Reading

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        key = checked_name(key, "key")
        collection = self._collection_name(collection)
        if collection is None:
            return await self.key_value.get(key)
        if self._invalidations.is_empty or self._invalidations.allow_reading(collection, key):
            cached = await self._cache.get(collection, key)
            if cached is not None and cached != _ABSENT_MARKER:
                return cached
            if cached is not None and self.negative_ttl is not None:
                return None
        return (await self._reads.read(collection, [key]))[key][0]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        key = checked_name(key, "key")
        collection = self._collection_name(collection)
        if collection is None:
            return await self.key_value.ttl(key)
        return (await self._reads.read(collection, [key]))[key]

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        keys = checked_names(keys)
        collection = self._collection_name(collection)
        if collection is None:
            return await self.key_value.get_many(keys)
        distinct = list(dict.fromkeys(keys))
        readable = distinct
        if not self._invalidations.is_empty:
            readable = [key for key in distinct if self._invalidations.allow_reading(collection, key)]
        found = await self._cached(collection, readable)
        missing = [key for key in distinct if key not in found]
        pairs = await self._reads.read(collection, missing)
        found.update((key, pair[0]) for key, pair in pairs.items())
        return in_order(keys, found)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        keys = checked_names(keys)
        collection = self._collection_name(collection)
        if collection is None:
            return await self.key_value.ttl_many(keys)
        return in_order(keys, await self._reads.read(collection, list(dict.fromkeys(keys))))

    async def _cached(self, collection: str, keys: list[str]) -> dict[str, dict[str, Any] | None]:
        """Return the cached entries of the keys, with None for a key cached as absent."""
        found: dict[str, dict[str, Any] | None] = {}
        for key, value in (await self._cache.get_many(collection, keys)).items():
            if value != _ABSENT_MARKER:
                found[key] = value
            elif self.negative_ttl is not None:
                found[key] = None
        return found

    async def _run(self, read: SharedRead) -> None:
        if len(read.keys) == 1:
            read.answer([await self.key_value.ttl(read.keys[0], collection=read.collection)])
        else:
            read.answer(await self.key_value.ttl_many(read.keys, collection=read.collection))
        with self._reads.lock:
            # Cache only keys not written since the read began.
            keys = [
                key
                for key in read.keys
                if self._reads.is_current(read, key) and self._invalidations.allow_filling(read.collection, key)
            ]
            if not keys:
                return
            read.is_kept = True
        await self._fill(read, keys)

    async def _fill(self, read: SharedRead, keys: list[str]) -> None:
        """Cache the result: one put for all entries with ttls within about 10 %, with the shortest of these ttls."""
        collection = read.collection
        elapsed = (clock.now() - read.started_at).total_seconds()
        batches: dict[int, dict[str, dict[str, Any]]] = {}
        shortest_ttl: dict[int, float] = {}
        stale: list[str] = []
        for key in keys:
            value, ttl = self._copy_for_cache(read.pairs[key], elapsed)
            if value is not None:
                ttl_class = floor(log(ttl) * 10)
                batches.setdefault(ttl_class, {})[key] = value
                shortest_ttl[ttl_class] = min(ttl, shortest_ttl.get(ttl_class, ttl))
            elif self._invalidations.is_known_suspect(read.collection, key):
                stale.append(key)
        replacements = [
            self._replace(read, batch, self._cache.put(collection, batch, shortest_ttl[ttl_class]))
            for ttl_class, batch in batches.items()
        ]
        if stale:
            replacements.append(self._replace(read, stale, self._cache.remove(collection, stale)))
        if len(replacements) == 1:
            await replacements[0]
        else:
            await gather(*replacements)

    def _copy_for_cache(self, pair: Pair, elapsed: float) -> tuple[dict[str, Any] | None, float]:
        """Return the value to cache and its ttl; None if nothing is to be cached."""
        value, remaining = pair
        if value is None and self.negative_ttl is not None:
            return _ABSENT_MARKER, self.negative_ttl
        # The time since before the primary was read is deducted, so the copy expires no later than the entry.
        ttl = self.missing_ttl if remaining is None else min(remaining - elapsed, self.maximum_ttl)
        return (None, 0) if value == _ABSENT_MARKER or ttl < _MIN_TTL_SECONDS else (value, ttl)

    async def _replace(self, read: SharedRead, keys: Iterable[str], operation: Awaitable[object]) -> None:
        if await attempt("store", operation) and not self._invalidations.is_empty:
            with self._reads.lock:
                for key in keys:
                    if self._reads.is_current(read, key):
                        self._invalidations.replaced(read.collection, key)

    # Writing

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self._write(Call("put", key, value, collection=collection, ttl=ttl))

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self._write(Call("delete", key, collection=collection))

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self._write(Call("put_many", keys, values, collection=collection, ttl=ttl))

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self._write(Call("delete_many", keys, collection=collection))

    async def _put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        return await self._write(Call("put_if_absent", key, value, collection=collection, ttl=ttl))

    async def _put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        return await self._write(Call("put_if_version", key, value, version, collection=collection, ttl=ttl))

    async def _delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        return await self._write(Call("delete_if_version", key, version, collection=collection))

    async def _destroy(self) -> bool:
        return await self._invalidating([()], self._inner(AsyncDestroyStoreProtocol).destroy(), self._cache.remove_all)

    async def _destroy_collection(self, collection: str) -> bool:
        collection = checked_name(collection, "collection")
        destroy = self._inner(AsyncDestroyCollectionProtocol).destroy_collection(collection)
        return await self._invalidating([(collection,)], destroy, partial(self._cache.remove_collection, collection))

    async def _cull(self) -> None:
        await self._inner(AsyncCullProtocol).cull()
        await self._cache.cull()

    @classmethod
    def _passes(cls, operation: Operation) -> bool:
        return not operation.writes

    async def _write(self, call: Call[R]) -> R:
        keys = checked_names(call.keys)
        collection = self._collection_name(call.collection)
        operation = call.on(self.key_value)
        if collection is None or not keys:
            return await operation
        scopes: list[Scope] = [(collection, key) for key in dict.fromkeys(keys)]
        return await self._invalidating(scopes, operation, partial(self._cache.remove, collection, keys))

    async def _invalidating(
        self, scopes: Sequence[Scope], operation: Awaitable[R], remove: Callable[[], Awaitable[None]]
    ) -> R:
        """Write to the primary, and make sure that no value from before the write is read from the cache afterwards."""
        with self._reads.lock:
            self._invalidations.begin(scopes)
            filling = {read for read in self._reads.detach(scopes) if read.is_kept}
        try:
            return await operation
        finally:
            is_removed = False
            try:
                is_removed = await attempt("remove", self._remove_after(filling, remove))
            finally:
                with self._reads.lock:
                    # Reads that began during the write may have found the old value.
                    self._reads.detach(scopes)
                    self._invalidations.end(scopes, removed=is_removed)

    async def _remove_after(self, filling: Iterable[SharedRead], remove: Callable[[], Awaitable[None]]) -> None:
        for read in filling:
            await wait_for(self._reads.wait_for_end(read), self.cache_timeout)
        await remove()

    def _collection_name(self, collection: str | None) -> str | None:
        """Return the name; None for the default collection of a store without a `default_collection` attribute."""
        return self.default_collection if collection is None else checked_name(collection, "collection")
