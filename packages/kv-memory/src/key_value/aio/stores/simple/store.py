"""SimpleStore: one dict of entries."""

from itertools import islice

from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base import (
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    Capabilities,
    ManagedEntry,
)

__all__ = ["SimpleStore"]


class SimpleStore(BaseEnumerateKeysStore, BaseEnumerateCollectionsStore, BaseDestroyStore):
    """Entries in one dict. An expired entry occupies memory until it is replaced or deleted: see MemoryStore."""

    capabilities = Capabilities(atomic_put_many=True)

    @warn_types
    def __init__(self, max_entries: int | None = None, default_collection: str | None = None) -> None:
        """Beyond `max_entries` a put drops the entry that was first stored longest ago. Raises ValueError below one."""
        if max_entries is not None and max_entries < 1:
            message = f"max_entries must be at least 1 or None, not {max_entries}"
            raise ValueError(message)
        self._max_entries = max_entries
        self._entries: dict[tuple[str, str], ManagedEntry] = {}
        super().__init__(default_collection=default_collection)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return self._entries.get((collection, key))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self._entries[collection, key] = managed_entry
        if self._max_entries is not None and len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        entry = self._entries.pop((collection, key), None)
        return entry is not None and not entry.is_expired

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        live = (key for (owner, key), entry in self._entries.items() if owner == collection and not entry.is_expired)
        return list(islice(live, limit))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        live = dict.fromkeys(collection for (collection, _), entry in self._entries.items() if not entry.is_expired)
        return list(islice(live, limit))

    async def _delete_store(self) -> bool:
        self._entries.clear()
        return True
