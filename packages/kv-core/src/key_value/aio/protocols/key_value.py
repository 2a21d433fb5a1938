"""The eight methods every store has, and the abilities some have besides."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, SupportsFloat, runtime_checkable

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
    """JSON objects under a key in a collection, each with an optional time to live.

    A key or collection is any non-empty str of up to 64 KiB in UTF-8; `collection=None` is the store's default
    collection. A value is a mapping with str keys at every depth whose leaves are str, int, finite float, bool or
    None, in dicts and lists (a tuple is stored as a list).

    Every method raises TypeError for an argument of the wrong type, InvalidKeyError for a name outside the above,
    StoreConnectionError or StoreTimeoutError when the backend cannot be reached or does not answer, StoreSetupError
    when it cannot be prepared, and KeyValueStoreError when it fails in another way. A method that reads raises
    DeserializationError when what is stored is not an entry.
    """

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        """The value, a fresh dict that shares no object with the store; None when absent or expired."""
        ...

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        """The value and its remaining seconds.

        `(value, None)` when it never expires, `(None, None)` when absent or expired.
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
        """Store the value, replacing the earlier one and its ttl.

        `ttl` is in seconds, finite and above zero; None means forever. Raises InvalidTTLError for any other number, and
        SerializationError with the path of what JSON cannot hold, both before anything is sent; ValueTooLargeError for
        an entry over `capabilities.max_value_bytes`.
        """
        ...

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove the entry; True when there was one."""
        ...

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        """One value or None for each key, in the order of the keys; a key may repeat."""
        ...

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        """What `ttl` gives, for each key, in the order of the keys."""
        ...

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Store each value under the key at the same place; where a key repeats, its last value wins.

        One `ttl` in seconds for all. Raises ValueError when the lengths differ. All values are checked before the
        first is sent; whether a failure in between can leave a part written is `capabilities.atomic_put_many`.
        """
        ...

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove the entries; how many there were. A key that repeats counts once."""
        ...


@runtime_checkable
class AsyncKeyValue(AsyncKeyValueProtocol, Protocol):
    """What a framework asks for: any object with the eight methods, whatever it inherits."""


@runtime_checkable
class AsyncEnumerateKeysProtocol(Protocol):
    """A store that can list the keys of a collection."""

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Every live key of the collection, once each and in no particular order; at most `limit` of them.

        Raises ValueError for a negative limit.
        """
        ...


@runtime_checkable
class AsyncEnumerateCollectionsProtocol(Protocol):
    """A store that can list its collections."""

    async def collections(self, *, limit: int | None = None) -> list[str]:
        """Every collection that holds a live entry, once each and in no particular order; at most `limit` of them.

        Raises ValueError for a negative limit.
        """
        ...


@runtime_checkable
class AsyncDestroyStoreProtocol(Protocol):
    """A store that can remove everything it wrote."""

    async def destroy(self) -> bool:
        """Remove every entry of this store and nothing else; True when done. The store stays usable."""
        ...


@runtime_checkable
class AsyncDestroyCollectionProtocol(Protocol):
    """A store that can remove a collection."""

    async def destroy_collection(self, collection: str) -> bool:
        """Remove every entry of the collection; True when it held any. The collection stays usable."""
        ...


@runtime_checkable
class AsyncCullProtocol(Protocol):
    """A store whose expired entries occupy space until they are removed."""

    async def cull(self) -> None:
        """Remove every expired entry."""
        ...
