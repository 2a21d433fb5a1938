"""Writing an entry only if none exists."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, SupportsFloat

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.protocols import AsyncPutIfAbsentProtocol
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BasePutIfAbsentStore"]


class BasePutIfAbsentStore(BaseStore, AsyncPutIfAbsentProtocol):
    """A store that can put an entry only if none exists."""

    @abstractmethod
    async def _put_managed_entry_if_absent(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> bool:
        """Store the entry unless a live one exists; return whether it was stored.

        Must be atomic with respect to all writers, and replace an expired entry.
        """

    async def put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        stored_collection, stored_key, entry = self._new_entry(key, value, collection, ttl)
        await self._prepare(stored_collection)
        return await self._translated(
            self._put_managed_entry_if_absent(collection=stored_collection, key=stored_key, managed_entry=entry)
        )
