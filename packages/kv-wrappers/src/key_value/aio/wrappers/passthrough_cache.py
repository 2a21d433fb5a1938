"""PassthroughCacheWrapper: a fast store in front of a slow one."""

from asyncio import gather, wait_for
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from logging import getLogger
from math import floor, log
from typing import Any, SupportsFloat, TypeVar

from key_value.aio.core import clock
from key_value.aio.core.names import checked_name, checked_names
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.errors import BaseKeyValueError, KeyValueStoreError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncKeyValue,
)
from key_value.aio.stores.base import DEFAULT_COLLECTION_NAME
from key_value.aio.wrappers.default_value import checked_seconds
from key_value.aio.wrappers.shared_reads import Pair, Scope, SharedRead, SharedReads, in_order
from key_value.aio.wrappers.timeout import TimeoutWrapper

__all__ = ["PassthroughCacheWrapper"]

logger = getLogger(__name__)

R = TypeVar("R")

_DEFAULT_TTL = 1800.0

_ABSENT = {"__absent_in_primary__": True}
"""What the cache holds for a key that the primary does not. A value that equals it is never cached."""

_ESCAPE = "__named__"

_MICROSECOND = 1e-6

_MOST_SUSPECTS = 10_000


class PassthroughCacheWrapper(BaseWrapper):
    """Reads from the cache, and from the primary store what is not there, which then is cached.

    Any number of concurrent reads of a key that is not cached, of whatever kind and from any event loop, are one read
    of the primary. `ttl` and `ttl_many` always ask it, because only it knows when an entry expires. Abilities and
    capabilities are the primary's, and listing asks the primary.

    A write goes to the primary first. Then, whether it succeeded, failed or was cancelled, its keys are removed from
    the cache. Until that is done, reads of these keys go to the primary, and what they find is not cached. So a read
    that begins after a write through this wrapper never gives what was there before. What others write to the primary
    is seen when the cached entry expires, after `maximum_ttl` at the latest.

    A cache that fails costs time, never an operation: it is logged as a warning, without values, and the primary
    answers. An entry that could not be removed from the cache is not read there until it was replaced.

    The cache store belongs to the wrapper alone: its entries are taken for copies, and `destroy` empties it.
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
        """All in seconds. An entry is cached for its remaining ttl and for no longer than `maximum_ttl`.

        `missing_ttl` is for entries without ttl. None means 30 minutes for both. With `negative_ttl` it is cached as
        well, for so long, that a key has no entry. `cache_timeout` is the time that an operation of the cache may take
        before it counts as failed.

        Raises ValueError for a number that is not finite and above zero, and when both stores are the same object.
        """
        if cache_key_value is primary_key_value:
            message = "cache_key_value must be another store than primary_key_value"
            raise ValueError(message)
        self.maximum_ttl = _DEFAULT_TTL if maximum_ttl is None else checked_seconds(maximum_ttl, "maximum_ttl")
        missing_ttl = _DEFAULT_TTL if missing_ttl is None else checked_seconds(missing_ttl, "missing_ttl")
        self.missing_ttl = min(missing_ttl, self.maximum_ttl)
        self.negative_ttl = (
            None if negative_ttl is None else min(checked_seconds(negative_ttl, "negative_ttl"), self.maximum_ttl)
        )
        self.cache_timeout = checked_seconds(cache_timeout, "cache_timeout")
        super().__init__(primary_key_value)
        self.cache_key_value = cache_key_value
        self._cache = TimeoutWrapper(cache_key_value, self.cache_timeout)
        # In the cache, None is one of its collections, which must not be taken for the primary's of that name.
        self._cache_default = next(_default_collections(cache_key_value))
        self._escaped = frozenset(_default_collections(cache_key_value))
        # In the primary, None is one of these collections; which one, not every store tells.
        self._defaults = frozenset([None, *_default_collections(primary_key_value)])
        self._cached_defaults: frozenset[str | None] = frozenset()
        self._reads = SharedReads(self._run)
        self._writes: dict[Scope, int] = {}
        self._suspects: dict[Scope, datetime] = {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r}, {self.cache_key_value!r})"

    # Lifecycle

    async def setup(self) -> None:
        """Open both stores now. A cache that cannot be opened is logged."""
        await super().setup()
        await _attempt("open", self._cache.setup())

    async def close(self) -> None:
        """Close both stores. A cache that cannot be closed is logged."""
        try:
            await super().close()
        finally:
            await _attempt("close", self._cache.close())

    # Reading

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        key = checked_name(key, "key")
        collection = _checked(collection)
        if (not self._writes and not self._suspects) or self._settled(collection, key):
            try:
                cached = await self._cache.get(key, collection=self._slot(collection))
            except Exception as exc:  # noqa: BLE001 — whatever the cache raises
                _log("get", exc)
            else:
                if cached is not None and cached != _ABSENT:
                    return cached
                if cached is not None and self.negative_ttl is not None:
                    return None
        return (await self._reads.read(collection, [key]))[key][0]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        key = checked_name(key, "key")
        return (await self._reads.read(_checked(collection), [key]))[key]

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        keys = checked_names(keys)
        collection = _checked(collection)
        distinct = list(dict.fromkeys(keys))
        settled = distinct
        if self._writes or self._suspects:
            settled = [key for key in distinct if self._settled(collection, key)]
        found = await self._cached(collection, settled)
        missing = [key for key in distinct if key not in found]
        pairs = await self._reads.read(collection, missing)
        found.update((key, pair[0]) for key, pair in pairs.items())
        return in_order(keys, found)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        keys = checked_names(keys)
        return in_order(keys, await self._reads.read(_checked(collection), list(dict.fromkeys(keys))))

    async def _cached(self, collection: str | None, keys: list[str]) -> dict[str, dict[str, Any] | None]:
        """What the cache knows of the keys; None for one that is known to be absent."""
        found: dict[str, dict[str, Any] | None] = {}
        if not keys:
            return found
        try:
            values = await self._cache.get_many(keys, collection=self._slot(collection))
        except Exception as exc:  # noqa: BLE001 — whatever the cache raises
            _log("get_many", exc)
            return found
        for key, value in zip(keys, values, strict=True):
            if value is not None and value != _ABSENT:
                found[key] = value
            elif value is not None and self.negative_ttl is not None:
                found[key] = None
        return found

    async def _run(self, read: SharedRead) -> None:
        if len(read.keys) == 1:
            read.answer([await self.key_value.ttl(read.keys[0], collection=read.collection)])
        else:
            read.answer(await self.key_value.ttl_many(read.keys, collection=read.collection))
        with self._reads.lock:
            keys = [key for key in read.keys if self._may_fill(read, key)]
            if not keys:
                return
            read.is_kept = True
            if read.collection in self._defaults:
                self._cached_defaults |= {read.collection}
        await self._fill(read, keys)

    def _may_fill(self, read: SharedRead, key: str) -> bool:
        """Whether the read is as new as any write that has begun."""
        collection = read.collection
        if not self._reads.is_current(read, key) or (collection, key) in self._writes:
            return False
        return not any(scope in self._writes or self._is_suspect(scope) for scope in ((collection,), ()))

    async def _fill(self, read: SharedRead, keys: list[str]) -> None:
        """Cache what was read: one put for entries whose ttl differ by less than a tenth, for the least of them."""
        slot = self._slot(read.collection)
        elapsed = (clock.now() - read.began).total_seconds()
        batches: dict[int, list[tuple[str, dict[str, Any], float]]] = {}
        doomed: list[str] = []
        for key in keys:
            value, ttl = self._copy_for_cache(read.pairs[key], elapsed)
            if value is not None:
                batches.setdefault(floor(log(ttl) * 10), []).append((key, value, ttl))
            elif (read.collection, key) in self._suspects:
                doomed.append(key)
        replacements: list[Awaitable[None]] = []
        for batch in batches.values():
            names = [key for key, _, _ in batch]
            ttl = min(ttl for _, _, ttl in batch)
            if len(batch) == 1:
                put = self._cache.put(names[0], batch[0][1], collection=slot, ttl=ttl)
            else:
                put = self._cache.put_many(names, [value for _, value, _ in batch], collection=slot, ttl=ttl)
            replacements.append(self._replace(read, names, put))
        if doomed:
            replacements.append(self._replace(read, doomed, self._cache.delete_many(doomed, collection=slot)))
        if len(replacements) == 1:
            await replacements[0]
        else:
            await gather(*replacements)

    def _copy_for_cache(self, pair: Pair, elapsed: float) -> tuple[dict[str, Any] | None, float]:
        """What the cache is to hold, and for how long; None for nothing."""
        value, remaining = pair
        if value is None and self.negative_ttl is not None:
            return _ABSENT, self.negative_ttl
        # Counted from before the primary was asked, it ends no later than the entry does.
        ttl = self.missing_ttl if remaining is None else min(remaining - elapsed, self.maximum_ttl)
        return (None, 0) if value == _ABSENT or ttl < _MICROSECOND else (value, ttl)

    async def _replace(self, read: SharedRead, keys: list[str], operation: Awaitable[object]) -> None:
        if await _attempt("store", operation) and self._suspects:
            with self._reads.lock:
                for key in keys:
                    if self._reads.is_current(read, key):
                        self._suspects.pop((read.collection, key), None)

    # Writing

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        key = checked_name(key, "key")
        collection = _checked(collection)
        return await self._write(collection, [key], self.key_value.put(key, value, collection=collection, ttl=ttl))

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        key = checked_name(key, "key")
        collection = _checked(collection)
        return await self._write(collection, [key], self.key_value.delete(key, collection=collection))

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        keys = checked_names(keys)
        collection = _checked(collection)
        put_many = self.key_value.put_many(keys, values, collection=collection, ttl=ttl)
        return await self._write(collection, keys, put_many)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        keys = checked_names(keys)
        collection = _checked(collection)
        return await self._write(collection, keys, self.key_value.delete_many(keys, collection=collection))

    async def _destroy(self) -> bool:
        return await self._invalidating([()], super()._destroy(), self._empty_cache)

    async def _destroy_collection(self, collection: str) -> bool:
        collections = self._aliases(checked_name(collection, "collection"))
        destroy = super()._destroy_collection(collection)
        return await self._invalidating(
            [(alias,) for alias in collections], destroy, partial(self._remove_collections, collections)
        )

    async def _cull(self) -> None:
        await super()._cull()
        if isinstance(self._cache, AsyncCullProtocol):
            await _attempt("cull", self._cache.cull())

    async def _write(self, collection: str | None, keys: list[str], operation: Awaitable[R]) -> R:
        if not keys:
            return await operation
        scopes: list[Scope] = [(alias, key) for alias in self._aliases(collection) for key in dict.fromkeys(keys)]
        return await self._invalidating(scopes, operation, partial(self._remove, collection, keys))

    async def _invalidating(
        self, scopes: Sequence[Scope], operation: Awaitable[R], remove: Callable[[], Awaitable[None]]
    ) -> R:
        """Write to the primary, and let nothing of what was there before be read from the cache afterwards."""
        with self._reads.lock:
            for scope in scopes:
                self._writes[scope] = self._writes.get(scope, 0) + 1
            filling = {read for read in self._reads.detach(scopes) if read.is_kept}
        try:
            return await operation
        finally:
            is_removed = False
            try:
                is_removed = await _attempt("remove", self._remove_after(filling, remove))
            finally:
                with self._reads.lock:
                    # Reads that began during the write may have found what was there before.
                    self._reads.detach(scopes)
                    for scope in scopes:
                        self._writes[scope] -= 1
                        if not self._writes[scope]:
                            del self._writes[scope]
                        if is_removed:
                            self._suspects.pop(scope, None)
                    if not is_removed:
                        self._suspect(scopes)

    async def _remove_after(self, filling: Iterable[SharedRead], remove: Callable[[], Awaitable[None]]) -> None:
        for read in filling:
            await wait_for(self._reads.end_of(read), self.cache_timeout)
        await remove()

    async def _remove(self, collection: str | None, keys: list[str]) -> None:
        aliases = self._cached_defaults | {collection} if collection in self._defaults else {collection}
        for alias in aliases:
            if len(keys) == 1:
                await self._cache.delete(keys[0], collection=self._slot(alias))
            else:
                await self._cache.delete_many(keys, collection=self._slot(alias))

    async def _remove_collections(self, collections: Iterable[str | None]) -> None:
        if not isinstance(self._cache, AsyncDestroyCollectionProtocol):
            message = "it cannot remove a collection, which will not be cached until its entries there have expired"
            raise KeyValueStoreError(message)
        for collection in collections:
            await self._cache.destroy_collection(self._slot(collection) or self._cache_default)

    async def _empty_cache(self) -> None:
        if not isinstance(self._cache, AsyncDestroyStoreProtocol):
            message = "it cannot be emptied, and will not be used until its entries have expired"
            raise KeyValueStoreError(message)
        await self._cache.destroy()

    # What may be read from the cache

    def _settled(self, collection: str | None, key: str) -> bool:
        scopes: tuple[Scope, ...] = ((collection, key), (collection,), ())
        return not any(scope in self._writes or self._is_suspect(scope) for scope in scopes)

    def _is_suspect(self, scope: Scope) -> bool:
        until = self._suspects.get(scope)
        return until is not None and until > clock.now()

    def _suspect(self, scopes: Iterable[Scope]) -> None:
        """Do not read from the cache what could not be removed from it, until it was replaced or has expired."""
        now = clock.now()
        until = now + timedelta(seconds=self.maximum_ttl)
        self._suspects.update(dict.fromkeys(scopes, until))
        if len(self._suspects) > _MOST_SUSPECTS:
            live = {scope: end for scope, end in self._suspects.items() if end > now}
            self._suspects = live if len(live) <= _MOST_SUSPECTS // 2 else {(): until}

    # Names

    def _aliases(self, collection: str | None) -> frozenset[str | None]:
        """The collections that may be this one in the primary."""
        return self._defaults if collection in self._defaults else frozenset([collection])

    def _slot(self, collection: str | None) -> str | None:
        """The collection of the cache for one of the primary."""
        if collection is None or not (collection in self._escaped or collection.startswith(_ESCAPE)):
            return collection
        return _ESCAPE + collection


async def _attempt(what: str, operation: Awaitable[object]) -> bool:
    """Whether the cache did it. That it failed is logged."""
    try:
        await operation
    except Exception as exc:  # noqa: BLE001 — whatever the cache raises
        _log(what, exc)
        return False
    return True


def _log(what: str, error: Exception) -> None:
    # Our own messages hold no values; a driver's may.
    shown = f": {error}" if isinstance(error, BaseKeyValueError) else ""
    logger.warning("the cache failed to %s; going on without it (%s%s)", what, type(error).__name__, shown)


def _checked(collection: str | None) -> str | None:
    return None if collection is None else checked_name(collection, "collection")


def _default_collections(store: object) -> Iterator[str]:
    """What `collection=None` may stand for in the store: the first is the best guess."""
    while True:
        name = getattr(store, "default_collection", None)
        if isinstance(name, str):
            yield name
        if not isinstance(store, BaseWrapper):
            break
        store = getattr(store, "key_value", None)
    yield DEFAULT_COLLECTION_NAME
