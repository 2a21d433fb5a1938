"""Small stores to wrap: with none, one or all of the optional protocols, and one that fails."""

import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, SupportsFloat

from key_value.aio.core.operations import OPERATIONS
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValueProtocol,
    KeyPage,
)
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseStore,
    BaseVersionedStore,
    Capabilities,
    ManagedEntry,
    VersionedEntry,
)

__all__ = [
    "INNER_STORES",
    "PROTOCOLS",
    "CullStore",
    "FailingStore",
    "ForeignStore",
    "FullStore",
    "KeysStore",
    "PlainStore",
    "only",
]

_PAGE_SIZE = 2


class PlainStore(BaseStore):
    """Keeps entries in a dict, and counts how often it was opened and closed."""

    # Not the default in any field that a wrapper could lose.
    capabilities: Capabilities = Capabilities(
        durable=True, max_key_bytes=65_536, max_value_bytes=2**30, atomic_put_many=True
    )

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[tuple[str, str], ManagedEntry] = {}
        self.opened: int = 0
        self.closed: int = 0

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


class FullStore(
    PlainStore,
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """A store with every optional protocol and pages of two keys."""

    capabilities: Capabilities = replace(PlainStore.capabilities, atomic_delete=True, conditional_writes=True)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return [key for owner, key in self._live() if owner == collection][:limit]

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        last = None if cursor is None else json.loads(cursor)
        keys = sorted(key for key in await self._get_collection_keys(collection=collection) if key.startswith(prefix))
        page = [key for key in keys if last is None or key > last][: min(limit, _PAGE_SIZE)]
        return KeyPage(page, json.dumps(page[-1]) if page and page[-1] != keys[-1] else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return list(dict.fromkeys(collection for collection, _ in self._live()))[:limit]

    async def _delete_store(self) -> bool:
        self.entries.clear()
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return self._remove([names for names in self.entries if names[0] == collection])

    async def _cull(self) -> None:
        self._remove([names for names, entry in self.entries.items() if entry.is_expired])

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        entry = self.entries.get((collection, key))
        return None if entry is None else VersionedEntry(entry, str(entry.revision))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        if self._version(collection, key) != version:
            return False
        self.entries[collection, key] = managed_entry
        return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        return self._version(collection, key) == version and self._remove([(collection, key)])

    def _version(self, collection: str, key: str) -> str | None:
        entry = self.entries.get((collection, key))
        return None if entry is None or entry.is_expired else str(entry.revision)

    def _live(self) -> list[tuple[str, str]]:
        return [names for names, entry in self.entries.items() if not entry.is_expired]

    def _remove(self, removed: list[tuple[str, str]]) -> bool:
        for names in removed:
            del self.entries[names]
        return bool(removed)


def only(protocol: type[Any]) -> type[PlainStore]:
    """Return a store class with this optional protocol only."""
    name = protocol.__name__.removeprefix("Async").removesuffix("Protocol") + "Store"
    names = [operation.name for operation in OPERATIONS.values() if operation.protocol is protocol]
    return type(name, (_PartialStore,), {operation: _delegate_to_full(operation) for operation in names})


class _PartialStore(PlainStore):
    def __init__(self) -> None:
        super().__init__()
        self.full = FullStore()
        self.full.entries = self.entries


def _delegate_to_full(name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def method(self: _PartialStore, *arguments: Any, **options: Any) -> Any:
        return await getattr(self.full, name)(*arguments, **options)

    return method


KeysStore: type[PlainStore] = only(AsyncEnumerateKeysProtocol)
CullStore: type[PlainStore] = only(AsyncCullProtocol)


class FailingStore(FullStore):
    """A store that cannot be opened: every call raises the given error."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def _setup(self) -> None:
        raise self.error


class ForeignStore:
    """A store with the eight required methods only: no base class, lifecycle or capabilities."""

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


PROTOCOLS: list[type[Any]] = [
    protocol
    for protocol in dict.fromkeys(operation.protocol for operation in OPERATIONS.values())
    if protocol is not AsyncKeyValueProtocol
]
"""The optional protocols."""

INNER_STORES: list[type[PlainStore]] = [PlainStore, *map(only, PROTOCOLS), FullStore]
