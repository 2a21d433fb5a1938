"""Removing a collection."""

from abc import abstractmethod

from key_value.aio.protocols import AsyncDestroyCollectionProtocol
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BaseDestroyCollectionStore"]


class BaseDestroyCollectionStore(BaseStore, AsyncDestroyCollectionProtocol):
    """A store that can remove a collection."""

    @abstractmethod
    async def _delete_collection(self, *, collection: str) -> bool:
        """Remove every entry of the collection; return whether it held any."""

    async def destroy_collection(self, collection: str) -> bool:
        _, stored_collection = self._names(collection)
        await self._prepare(stored_collection)
        try:
            return await self._translated(self._delete_collection(collection=stored_collection))
        finally:
            self._preparing.reset(stored_collection)
