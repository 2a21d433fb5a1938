"""SimpleStore: one dict of entries."""

from collections.abc import Sequence
from itertools import islice

from key_value.aio.core.forks import new_lock
from key_value.aio.core.numbers import checked_int
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base import (
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseVersionedStore,
    Capabilities,
    ManagedEntry,
    VersionedEntry,
)

__all__ = ["SimpleStore"]


class SimpleStore(BaseEnumerateKeysStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseVersionedStore):
    """Entries in one dict. Unlike in MemoryStore, an expired entry occupies memory until it is replaced or deleted.

    Pickling or copying creates a new, empty store with the same options.
    """

    capabilities: Capabilities = Capabilities(atomic_put_many=True, atomic_delete=True, conditional_writes=True)

    @warn_types
    def __init__(self, max_entries: int | None = None, default_collection: str | None = None) -> None:
        """Store the options. A put beyond `max_entries` evicts the entry whose key was stored first.

        Raises ValueError for `max_entries` below one, and TypeError unless it is an int or None.
        """
        max_entries = checked_int(max_entries, "max_entries")
        if max_entries is not None and max_entries < 1:
            message = f"max_entries must be at least 1 or None, not {max_entries}"
            raise ValueError(message)
        self._max_entries = max_entries
        self._entries: dict[tuple[str, str], ManagedEntry] = {}
        self._lock = new_lock()
        super().__init__(default_collection=default_collection)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return self._entries.get((collection, key))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        with self._lock:
            self._store(collection, key, managed_entry)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        with self._lock:
            for key, managed_entry in zip(keys, managed_entries, strict=True):
                self._store(collection, key, managed_entry)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        with self._lock:
            entry = self._entries.pop((collection, key), None)
        return entry is not None and not entry.is_expired

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        entry = self._entries.get((collection, key))
        return None if entry is None else VersionedEntry(entry, str(entry.revision))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        with self._lock:
            if self._version(collection, key) != version:
                return False
            self._store(collection, key, managed_entry)
            return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        with self._lock:
            if self._version(collection, key) != version:
                return False
            del self._entries[collection, key]
            return True

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        live = (
            key for (owner, key), entry in list(self._entries.items()) if owner == collection and not entry.is_expired
        )
        return list(islice(live, limit))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        live = dict.fromkeys(
            collection for (collection, _), entry in list(self._entries.items()) if not entry.is_expired
        )
        return list(islice(live, limit))

    async def _delete_store(self) -> bool:
        with self._lock:
            self._entries.clear()
        return True

    def _live_names(self) -> list[tuple[str, str]]:
        with self._lock:
            return [names for names, entry in self._entries.items() if not entry.is_expired]

    def _store(self, collection: str, key: str, entry: ManagedEntry) -> None:
        self._entries[collection, key] = entry
        if self._max_entries is not None and len(self._entries) > self._max_entries:
            del self._entries[next(iter(self._entries))]

    def _version(self, collection: str, key: str) -> str | None:
        """Return the version of the live entry, or None."""
        entry = self._entries.get((collection, key))
        return None if entry is None or entry.is_expired else str(entry.revision)
