"""The eight methods of every store. Also re-exports optional protocols, each of which has its own module."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsFloat, runtime_checkable

from key_value.aio.protocols.cull import AsyncCullProtocol
from key_value.aio.protocols.destroy_collection import AsyncDestroyCollectionProtocol
from key_value.aio.protocols.destroy_store import AsyncDestroyStoreProtocol
from key_value.aio.protocols.enumerate_collections import AsyncEnumerateCollectionsProtocol
from key_value.aio.protocols.enumerate_keys import AsyncEnumerateKeysProtocol

__all__ = [
    "AsyncCullProtocol",
    "AsyncDestroyCollectionProtocol",
    "AsyncDestroyStoreProtocol",
    "AsyncEnumerateCollectionsProtocol",
    "AsyncEnumerateKeysProtocol",
    "AsyncKeyValue",
    "AsyncKeyValueProtocol",
]


@runtime_checkable
class AsyncKeyValueProtocol(Protocol):
    """JSON objects, each stored under a key in a collection, with an optional time to live.

    A key or collection is any non-empty str of up to 64 KiB in UTF-8; `collection=None` is the store's default
    collection. A value is a mapping with str keys at every depth whose leaves are str, int, finite float, bool or
    None, in dicts and lists (a tuple is stored as a list).

    Every method raises TypeError for an argument of the wrong type, InvalidKeyError for an invalid name,
    StoreConnectionError or StoreTimeoutError if the backend cannot be reached or does not answer, StoreSetupError if it
    cannot be prepared, and KeyValueStoreError if it fails in another way. Methods that read raise DeserializationError
    if the stored data is not an entry.
    """

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """Return the value as a new dict that shares no object with the store, or None if absent or expired."""
        ...

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """Return the value and its remaining time to live in seconds.

        Returns `(value, None)` if it never expires and `(None, None)` if absent or expired.
        """
        ...

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Store the value, replacing any earlier one and its ttl.

        `ttl` is in seconds, finite and above zero; with None, the entry never expires. Before anything is sent, raises
        InvalidTTLError for any other number, and SerializationError, with the path of the offending part, for a value
        that JSON cannot hold. Raises ValueTooLargeError for an entry over `capabilities.max_value_bytes`.
        """
        ...

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove the entry; return True if there was one."""
        ...

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """Return a value or None for each key, in the order of the keys; a key may repeat."""
        ...

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """Return the result of `ttl` for each key, in the order of the keys."""
        ...

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Store each value under the key at the same position; if a key repeats, its last value wins.

        All entries get the same `ttl` in seconds. Raises ValueError if the lengths differ. All values are checked
        before the first is sent. A failure can leave some of the entries stored, unless
        `capabilities.atomic_put_many` is true.
        """
        ...

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove the entries; return how many existed. A repeated key counts once."""
        ...


@runtime_checkable
class AsyncKeyValue(AsyncKeyValueProtocol, Protocol):
    """The parameter type for frameworks: any object with the eight methods, regardless of its base classes."""
