"""Listing collections."""

from abc import abstractmethod

from key_value.aio.core.type_checks import checked_limit
from key_value.aio.protocols import AsyncEnumerateCollectionsProtocol
from key_value.aio.stores.base.names import restored
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BaseEnumerateCollectionsStore"]


class BaseEnumerateCollectionsStore(BaseStore, AsyncEnumerateCollectionsProtocol):
    """A store that can list its collections."""

    @abstractmethod
    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        """Return the stored names of the collections that hold a live entry, each once, at most `limit` of them."""

    async def collections(self, *, limit: int | None = None) -> list[str]:
        if checked_limit(limit) == 0:
            return []
        await self._open()
        return restored(self._collection_strategy, await self._translated(self._get_collection_names(limit=limit)))
