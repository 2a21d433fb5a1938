"""Removing all entries of a store."""

from abc import abstractmethod

from key_value.aio.protocols import AsyncDestroyStoreProtocol
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BaseDestroyStore"]


class BaseDestroyStore(BaseStore, AsyncDestroyStoreProtocol):
    """A store that can remove all of its entries."""

    @abstractmethod
    async def _delete_store(self) -> bool:
        """Remove every entry of this store, and nothing else."""

    async def destroy(self) -> bool:
        await self._open()
        try:
            return await self._translated(self._delete_store())
        finally:
            self._preparing.reset()
