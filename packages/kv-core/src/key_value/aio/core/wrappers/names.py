"""The base of wrappers that change names."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, ClassVar, SupportsFloat

from key_value.aio.core.iteration import iterate_keys
from key_value.aio.core.names import checked_key_prefix, checked_name, checked_names
from key_value.aio.core.type_checks import checked_limit
from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import (
    AsyncEnumerateCollectionsProtocol,
    AsyncPutIfAbsentProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
    KeyPage,
    Versioned,
)

__all__ = ["BaseNameWrapper"]

_MAX_BATCH_KEYS = 1000


class BaseNameWrapper(BaseWrapper):
    """Maps keys and collections to those of the inner store. Subclasses override both directions of either mapping.

    The mapping must be injective: different (collection, key) pairs must map to different inner pairs. The names passed
    to it have been validated.
    """

    changes: ClassVar[frozenset[str]] = frozenset({"names"})

    def _inner_collection(self, collection: str | None) -> str | None:
        """Map a collection to the inner collection."""
        return collection

    def _inner_key(self, key: str, collection: str | None) -> str:
        """Map a key in the collection to the inner key."""
        del collection
        return key

    def _inner_prefix(self, prefix: str, collection: str | None) -> str:  # noqa: ARG002 — for overrides
        """Return a prefix that the inner keys of all keys with this prefix share; "" if none is known."""
        return ""

    def _outer_collection(self, inner_collection: str) -> str | None:
        """Map an inner collection back to its collection; None if this wrapper cannot have stored it."""
        return inner_collection

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        """Map an inner key of the collection back to its key; None if this wrapper cannot have stored it."""
        del collection
        return inner_key

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        inner_key, inner_collection = self._inner_names(key, collection)
        return await self.key_value.get(inner_key, collection=inner_collection)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        inner_key, inner_collection = self._inner_names(key, collection)
        return await self.key_value.ttl(inner_key, collection=inner_collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        inner_key, inner_collection = self._inner_names(key, collection)
        return await self.key_value.put(inner_key, value, collection=inner_collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        inner_key, inner_collection = self._inner_names(key, collection)
        return await self.key_value.delete(inner_key, collection=inner_collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        inner_keys, inner_collection = self._inner_batch(keys, collection)
        return await self.key_value.get_many(inner_keys, collection=inner_collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        inner_keys, inner_collection = self._inner_batch(keys, collection)
        return await self.key_value.ttl_many(inner_keys, collection=inner_collection)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        inner_keys, inner_collection = self._inner_batch(keys, collection)
        return await self.key_value.put_many(inner_keys, values, collection=inner_collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        inner_keys, inner_collection = self._inner_batch(keys, collection)
        return await self.key_value.delete_many(inner_keys, collection=inner_collection)

    # The operations of the optional protocols

    async def _keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        # The inner store's limit would also count keys that this wrapper has not stored.
        keys: dict[str, None] = {}
        if checked_limit(limit) == 0:
            return []
        async with aclosing(self._iterate(_checked(collection))) as found:
            async for key in found:
                keys[key] = None
                if len(keys) == limit:
                    break
        return list(keys)

    async def _iterate(self, collection: str | None) -> AsyncGenerator[str, None]:
        """Iterate over the keys of the collection. A key may repeat."""
        prefix = self._inner_prefix("", collection)
        async for inner_key in iterate_keys(self.key_value, self._inner_collection(collection), prefix=prefix):
            key = self._outer_key(inner_key, collection)
            if key is not None:
                yield key

    async def _scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        collection = _checked(collection)
        page = await self._inner(AsyncScanProtocol).scan(
            self._inner_collection(collection),
            prefix=self._inner_prefix(checked_key_prefix(prefix), collection),
            cursor=cursor,
            limit=limit,
        )
        keys = (self._outer_key(inner_key, collection) for inner_key in page.keys)
        return KeyPage([key for key in keys if key is not None and key.startswith(prefix)], page.cursor)

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        inner_collections = await self._inner(AsyncEnumerateCollectionsProtocol).collections()
        collections = (self._outer_collection(inner_collection) for inner_collection in inner_collections)
        return list(islice((collection for collection in collections if collection is not None), checked_limit(limit)))

    async def _destroy_collection(self, collection: str) -> bool:
        removed = 0
        # Batches bound the memory. A scan returns every key that stays live, so deleting during it misses none.
        batch: list[str] = []
        async for key in self._iterate(checked_name(collection, "collection")):
            batch.append(key)
            if len(batch) == _MAX_BATCH_KEYS:
                removed += await self.delete_many(batch, collection=collection)
                batch = []
        return bool(removed + await self.delete_many(batch, collection=collection))

    async def _destroy(self) -> bool:
        """Remove the entries of this wrapper. Raises KeyValueStoreError if the inner store cannot list them."""
        if not isinstance(self.key_value, AsyncEnumerateCollectionsProtocol):
            message = f"{self!r} cannot find its own entries: {self.key_value!r} cannot list its collections"
            raise KeyValueStoreError(message)
        for collection in await self._collections():
            await self._destroy_collection(collection)
        return True

    async def _put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        inner_key, inner_collection = self._inner_names(key, collection)
        store = self._inner(AsyncPutIfAbsentProtocol)
        return await store.put_if_absent(inner_key, value, collection=inner_collection, ttl=ttl)

    async def _get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        inner_key, inner_collection = self._inner_names(key, collection)
        store = self._inner(AsyncVersionedProtocol)
        return await store.get_versioned(inner_key, collection=inner_collection)

    async def _put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        inner_key, inner_collection = self._inner_names(key, collection)
        store = self._inner(AsyncVersionedProtocol)
        return await store.put_if_version(inner_key, value, version, collection=inner_collection, ttl=ttl)

    async def _delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        inner_key, inner_collection = self._inner_names(key, collection)
        store = self._inner(AsyncVersionedProtocol)
        return await store.delete_if_version(inner_key, version, collection=inner_collection)

    def _inner_names(self, key: str, collection: str | None) -> tuple[str, str | None]:
        collection = _checked(collection)
        return self._inner_key(checked_name(key, "key"), collection), self._inner_collection(collection)

    def _inner_batch(self, keys: Sequence[str], collection: str | None) -> tuple[list[str], str | None]:
        collection = _checked(collection)
        return [self._inner_key(key, collection) for key in checked_names(keys)], self._inner_collection(collection)


def _checked(collection: str | None) -> str | None:
    return None if collection is None else checked_name(collection, "collection")
