"""Writing an entry only if it has not changed."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple, SupportsFloat

from key_value.aio.core.entry import ManagedEntry, live_entry
from key_value.aio.core.marks import marked, unmarked
from key_value.aio.core.names import checked_name
from key_value.aio.core.type_checks import checked_text
from key_value.aio.protocols import AsyncVersionedProtocol, Versioned
from key_value.aio.stores.base.put_if_absent import BasePutIfAbsentStore

__all__ = ["BaseVersionedStore", "VersionedEntry"]


class VersionedEntry(NamedTuple):
    """A stored entry and its version."""

    entry: ManagedEntry
    version: str


class BaseVersionedStore(BasePutIfAbsentStore, AsyncVersionedProtocol):
    """A store with versioned entries. A version is any text that changes with every write of the entry."""

    @abstractmethod
    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        """Return the stored entry with its version; None if there is none."""

    @abstractmethod
    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        """Store the entry if the stored one has this version, or, with None, if no live one exists.

        Return whether it was stored. Must be atomic with respect to all writers of the backend. The version comes back
        unchanged, unless an attacker forges it: raise ValueError for an invalid one.
        """

    @abstractmethod
    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        """Remove the entry if the stored one has this version; return whether it removed a live entry."""

    async def _put_managed_entry_if_absent(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> bool:
        return await self._put_managed_entry_if_version(
            collection=collection, key=key, managed_entry=managed_entry, version=None
        )

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        collection, stored_collection = self._names(collection)
        key = checked_name(key, "key")
        await self._prepare(stored_collection)
        found = await self._translated(
            self._get_versioned_entry(collection=stored_collection, key=self._stored_key(key))
        )
        entry = None if found is None else live_entry(found.entry, collection, key)
        if found is None or entry is None:
            return Versioned(None, None, None)
        return Versioned(entry.fresh_value(), entry.ttl, marked(found.version, collection, key))

    async def put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        stored_collection, stored_key, entry = self._new_entry(key, value, collection, ttl)
        if version is not None:
            version = _checked_version(version, str(entry.collection), str(entry.key))
        await self._prepare(stored_collection)
        return await self._translated(
            self._put_managed_entry_if_version(
                collection=stored_collection, key=stored_key, managed_entry=entry, version=version
            )
        )

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        collection, stored_collection = self._names(collection)
        key = checked_name(key, "key")
        version = _checked_version(version, collection, key)
        await self._prepare(stored_collection)
        return await self._translated(
            self._delete_managed_entry_if_version(
                collection=stored_collection, key=self._stored_key(key), version=version
            )
        )


def _checked_version(version: str, collection: str, key: str) -> str:
    unmarked_version = unmarked(checked_text(version, "version"), collection, key)
    if not unmarked_version:
        message = "version does not come from get_versioned for this key"
        raise ValueError(message)
    return unmarked_version
