"""What some stores can do besides: one mixin of one public method and one hook for each optional protocol."""

from abc import abstractmethod

from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import checked_limit
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
)
from key_value.aio.stores.base.store import BaseStore

__all__ = [
    "BaseCullStore",
    "BaseDestroyCollectionStore",
    "BaseDestroyStore",
    "BaseEnumerateCollectionsStore",
    "BaseEnumerateKeysStore",
]


class BaseEnumerateKeysStore(BaseStore, AsyncEnumerateKeysProtocol):
    """A store that can list the keys of a collection."""

    @abstractmethod
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        """The stored names of the live keys, each once; at most `limit` of them."""

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        _, stored_collection = self._names(collection)
        if checked_limit(limit) == 0:
            return []
        await self._prepare(stored_collection)
        try:
            stored_keys = await self._get_collection_keys(collection=stored_collection, limit=limit)
        except Exception as exc:
            self._reraise(exc)
        return _restored(self._key_strategy, stored_keys)


class BaseEnumerateCollectionsStore(BaseStore, AsyncEnumerateCollectionsProtocol):
    """A store that can list its collections."""

    @abstractmethod
    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        """The stored names of the collections that hold a live entry, each once; at most `limit` of them."""

    async def collections(self, *, limit: int | None = None) -> list[str]:
        if checked_limit(limit) == 0:
            return []
        await self.setup()
        try:
            stored_collections = await self._get_collection_names(limit=limit)
        except Exception as exc:
            self._reraise(exc)
        return _restored(self._collection_strategy, stored_collections)


class BaseDestroyStore(BaseStore, AsyncDestroyStoreProtocol):
    """A store that can remove everything it wrote."""

    @abstractmethod
    async def _delete_store(self) -> bool:
        """Remove every entry this store wrote, and nothing else."""

    async def destroy(self) -> bool:
        await self.setup()
        try:
            return await self._delete_store()
        except Exception as exc:
            self._reraise(exc)
        finally:
            self._prepared.clear()


class BaseDestroyCollectionStore(BaseStore, AsyncDestroyCollectionProtocol):
    """A store that can remove a collection."""

    @abstractmethod
    async def _delete_collection(self, *, collection: str) -> bool:
        """Remove every entry of the collection; whether it held any."""

    async def destroy_collection(self, collection: str) -> bool:
        _, stored_collection = self._names(collection)
        await self._prepare(stored_collection)
        try:
            return await self._delete_collection(collection=stored_collection)
        except Exception as exc:
            self._reraise(exc)
        finally:
            self._prepared.discard(stored_collection)


class BaseCullStore(BaseStore, AsyncCullProtocol):
    """A store whose expired entries occupy space until they are removed."""

    @abstractmethod
    async def _cull(self) -> None:
        """Remove every expired entry."""

    async def cull(self) -> None:
        await self.setup()
        try:
            await self._cull()
        except Exception as exc:
            self._reraise(exc)


def _restored(strategy: SanitizationStrategy | None, stored_names: list[str]) -> list[str]:
    if strategy is None:
        return stored_names
    names = [strategy.try_unsanitize(stored) for stored in stored_names]
    if None in names:
        message = (
            f"{type(strategy).__name__} does not tell the names behind some stored names; "
            "enumeration needs a strategy that does"
        )
        raise KeyValueStoreError(message)
    return [name for name in names if name is not None]
