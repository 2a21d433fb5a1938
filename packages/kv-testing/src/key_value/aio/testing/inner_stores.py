"""Small stores to put a wrapper around: with no ability, with each of them, with all, and one that fails."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseStore,
    Capabilities,
    ManagedEntry,
)

__all__ = ["INNER_STORES", "FailingStore", "ForeignStore", "FullStore", "PlainStore"]


class PlainStore(BaseStore):
    """Entries in a dict, and how often it was opened and closed."""

    # Unlike the defaults in every field that a wrapper could lose.
    capabilities = Capabilities(durable=True, max_key_bytes=65_536, max_value_bytes=2**30, atomic_put_many=True)

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], ManagedEntry] = {}
        self.opened = 0
        self.closed = 0

    async def _setup(self) -> None:
        self.opened += 1

    async def _close(self) -> None:
        self.closed += 1

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return self.entries.get((collection, key))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.entries[collection, key] = managed_entry

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        entry = self.entries.pop((collection, key), None)
        return entry is not None and not entry.is_expired


class KeysStore(PlainStore, BaseEnumerateKeysStore):
    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        live = [key for (owner, key), entry in self.entries.items() if owner == collection and not entry.is_expired]
        return live[:limit]


class CollectionsStore(PlainStore, BaseEnumerateCollectionsStore):
    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        live = dict.fromkeys(collection for (collection, _), entry in self.entries.items() if not entry.is_expired)
        return list(live)[:limit]


class DestroyStore(PlainStore, BaseDestroyStore):
    async def _delete_store(self) -> bool:
        self.entries.clear()
        return True


class DestroyCollectionStore(PlainStore, BaseDestroyCollectionStore):
    async def _delete_collection(self, *, collection: str) -> bool:
        doomed = [names for names in self.entries if names[0] == collection]
        for names in doomed:
            del self.entries[names]
        return bool(doomed)


class CullStore(PlainStore, BaseCullStore):
    async def _cull(self) -> None:
        self.entries = {names: entry for names, entry in self.entries.items() if not entry.is_expired}


class FullStore(KeysStore, CollectionsStore, DestroyStore, DestroyCollectionStore, CullStore):
    pass


class FailingStore(FullStore):
    """Cannot be opened, so that every call raises the error that it is given."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def _setup(self) -> None:
        raise self.error


class ForeignStore:
    """The eight methods and nothing else: no base, no lifecycle, no capabilities."""

    def __init__(self) -> None:
        self._store = PlainStore()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await self._store.get(key, collection=collection)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return await self._store.ttl(key, collection=collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        await self._store.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self._store.delete(key, collection=collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return await self._store.get_many(keys, collection=collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return await self._store.ttl_many(keys, collection=collection)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        await self._store.put_many(keys, values, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self._store.delete_many(keys, collection=collection)


INNER_STORES: list[type[AsyncKeyValue]] = [
    PlainStore,
    KeysStore,
    CollectionsStore,
    DestroyStore,
    DestroyCollectionStore,
    CullStore,
    FullStore,
]
