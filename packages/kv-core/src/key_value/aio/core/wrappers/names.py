"""The base of wrappers that store under other names."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, SupportsFloat

from key_value.aio.core.names import checked_name, checked_names
from key_value.aio.core.type_checks import checked_limit
from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncEnumerateCollectionsProtocol, AsyncEnumerateKeysProtocol

__all__ = ["BaseNameWrapper"]


class BaseNameWrapper(BaseWrapper):
    """A subclass overrides the mapping of keys, of collections, or of both, each with its inverse.

    The mapping must be injective: two pairs of names never share an inner pair. The names that reach it are checked.
    """

    def _inner_collection(self, collection: str | None) -> str | None:
        """The inner collection of a collection."""
        return collection

    def _inner_key(self, key: str, collection: str | None) -> str:
        """The inner key of a key in the collection."""
        del collection
        return key

    def _outer_collection(self, inner_collection: str) -> str | None:
        """The collection behind an inner one; None for one that this wrapper does not make."""
        return inner_collection

    def _outer_key(self, inner_key: str, collection: str | None) -> str | None:
        """The key behind an inner key of the collection; None for one that this wrapper does not make."""
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

    async def _keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        # The inner store's limit would count keys that are not of this wrapper.
        inner_collection = self._inner_collection(_checked(collection))
        inner_keys = await self._inner(AsyncEnumerateKeysProtocol).keys(inner_collection)
        keys = (self._outer_key(inner_key, collection) for inner_key in inner_keys)
        return list(islice((key for key in keys if key is not None), checked_limit(limit)))

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        inner_collections = await self._inner(AsyncEnumerateCollectionsProtocol).collections()
        collections = (self._outer_collection(inner_collection) for inner_collection in inner_collections)
        return list(islice((collection for collection in collections if collection is not None), checked_limit(limit)))

    async def _destroy_collection(self, collection: str) -> bool:
        return bool(await self.delete_many(await self._keys(collection), collection=collection))

    async def _destroy(self) -> bool:
        """Remove the entries of this wrapper. Raises KeyValueStoreError where the inner store cannot list them."""
        if not isinstance(self.key_value, AsyncEnumerateCollectionsProtocol):
            message = f"{self!r} cannot tell its entries from others: {self.key_value!r} does not list its collections"
            raise KeyValueStoreError(message)
        for collection in await self._collections():
            await self._destroy_collection(collection)
        return True

    def _inner_names(self, key: str, collection: str | None) -> tuple[str, str | None]:
        collection = _checked(collection)
        return self._inner_key(checked_name(key, "key"), collection), self._inner_collection(collection)

    def _inner_batch(self, keys: Sequence[str], collection: str | None) -> tuple[list[str], str | None]:
        collection = _checked(collection)
        return [self._inner_key(key, collection) for key in checked_names(keys)], self._inner_collection(collection)


def _checked(collection: str | None) -> str | None:
    return None if collection is None else checked_name(collection, "collection")
