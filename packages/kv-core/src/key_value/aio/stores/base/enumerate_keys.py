"""Listing keys with the hook of earlier versions."""

from abc import abstractmethod

from key_value.aio.core.type_checks import checked_limit
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base.names import restored
from key_value.aio.stores.base.scan import BaseScanStore

__all__ = ["BaseEnumerateKeysStore"]


class BaseEnumerateKeysStore(BaseScanStore):
    """A store that lists all keys of a collection at once: its scan has one page. For large collections, use
    BaseScanStore.
    """

    @abstractmethod
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        """Return the stored names of the live keys, each once, at most `limit` of them."""

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        _, stored_collection = self._names(collection)
        if checked_limit(limit) == 0:
            return []
        await self._prepare(stored_collection)
        stored_keys = await self._translated(self._get_collection_keys(collection=stored_collection, limit=limit))
        return restored(self._key_strategy, stored_keys)

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:  # noqa: ARG002 — there is only one page
        keys = await self._get_collection_keys(collection=collection)
        return KeyPage([key for key in keys if key.startswith(prefix)], None)
