"""Base class of the typed adapters: the methods of a store, for values of one type."""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any, Final, Generic, SupportsFloat, TypeVar, overload

from key_value.aio.adapters.json_form import JsonForm
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.names import checked_name
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import DeserializationError
from key_value.aio.protocols import (
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
    AsyncPutIfAbsentProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
    KeyPage,
)
from typing_extensions import NamedTuple

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BasePydanticAdapter", "TypedVersioned"]

T = TypeVar("T")
D = TypeVar("D")
P = TypeVar("P")


class _Absent(Enum):
    ABSENT = "absent"


_ABSENT: Final = _Absent.ABSENT

_logger = logging.getLogger(__name__)


class TypedVersioned(NamedTuple, Generic[T]):
    """A value, its remaining ttl in seconds, and its version for a conditional write.

    All three are None if there is no entry. If only `value` is None, the entry holds None, or a stored value that is
    not of the type.
    """

    value: T | None
    ttl: float | None
    version: str | None


class BasePydanticAdapter(Generic[T]):
    """Values of one type, stored as JSON objects.

    Reads validate the stored value. If it is not of the type, they raise DeserializationError with
    `raise_on_validation_error`; otherwise they log an error and treat the entry as absent. The message names the
    invalid fields and contains no part of the value. Data that the store itself finds corrupt always raises
    DeserializationError.

    Before anything is stored, puts check that the value is of the type and reads back equal.

    The methods of optional protocols raise TypeError if the store does not implement the protocol.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        json_form: JsonForm[Any],
        default_collection: str | None,
        raise_on_validation_error: bool,  # noqa: FBT001 — public positional parameter
    ) -> None:
        self._key_value = key_value
        self._json_form: JsonForm[T] = json_form
        self._default_collection = (
            None if default_collection is None else checked_name(default_collection, "collection")
        )
        self._raise_on_validation_error = raise_on_validation_error

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._key_value!r}, {self._json_form.name})"

    @overload
    async def get(self, key: str, *, collection: str | None = None, default: None = None) -> T | None: ...

    @overload
    async def get(self, key: str, *, collection: str | None = None, default: T) -> T: ...

    async def get(self, key: str, *, collection: str | None = None, default: T | None = None) -> T | None:
        """Return the value, or `default` if there is no entry."""
        if collection is None:
            collection = self._default_collection
        stored = await self._key_value.get(key, collection=collection)
        return self._load(stored, key, collection, default)

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, default: None = None
    ) -> list[T | None]: ...

    @overload
    async def get_many(self, keys: Sequence[str], *, collection: str | None = None, default: T) -> list[T]: ...

    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, default: T | None = None
    ) -> list[T] | list[T | None]:
        """Return the value of each key, or `default` if there is no entry, in the order of the keys."""
        if collection is None:
            collection = self._default_collection
        found = await self._key_value.get_many(keys, collection=collection)
        return [self._load(stored, key, collection, default) for key, stored in zip(keys, found, strict=True)]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[T | None, float | None]:
        """Return the value and its remaining ttl in seconds.

        Return `(value, None)` if it never expires, `(None, None)` if there is no entry.
        """
        if collection is None:
            collection = self._default_collection
        return self._load_pair(await self._key_value.ttl(key, collection=collection), key, collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[T | None, float | None]]:
        """Return the result of `ttl` for each key, in the order of the keys."""
        if collection is None:
            collection = self._default_collection
        found = await self._key_value.ttl_many(keys, collection=collection)
        return [self._load_pair(pair, key, collection) for key, pair in zip(keys, found, strict=True)]

    async def put(self, key: str, value: T, *, collection: str | None = None, ttl: SupportsFloat | None = None) -> None:
        """Store the value, for `ttl` seconds or forever.

        Raises SerializationError if the value is not of the type, cannot be represented in JSON, or would not read back
        equal. Nothing is stored then.
        """
        if collection is None:
            collection = self._default_collection
        await self._key_value.put(key, self._json_form.dump(value), collection=collection, ttl=ttl)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[T],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        """Store each value under the key at the same position. All values are checked before the first is stored."""
        if collection is None:
            collection = self._default_collection
        dumped = [self._json_form.dump(value) for value in values]
        await self._key_value.put_many(keys, dumped, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove the entry; return True if there was one."""
        if collection is None:
            collection = self._default_collection
        return await self._key_value.delete(key, collection=collection)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove the entries; return how many there were."""
        if collection is None:
            collection = self._default_collection
        return await self._key_value.delete_many(keys, collection=collection)

    # The optional protocols

    async def get_versioned(self, key: str, *, collection: str | None = None) -> TypedVersioned[T]:
        """Return the value, remaining ttl and version of the entry; all are None if there is no entry."""
        store = self._store_with(AsyncVersionedProtocol)
        if collection is None:
            collection = self._default_collection
        stored, seconds, version = await store.get_versioned(key, collection=collection)
        return TypedVersioned(self._load(stored, key, collection, None), seconds, version)

    async def put_if_version(
        self,
        key: str,
        value: T,
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        """Store the value if the entry still has this version; with None, if there is still no entry.

        Return True if it was stored. A `ttl` of None means forever. Raises the errors of `put`, and ValueError for a
        version that `get_versioned` did not return for this key.
        """
        store = self._store_with(AsyncVersionedProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.put_if_version(key, self._json_form.dump(value), version, collection=collection, ttl=ttl)

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        """Remove the entry if it still has this version; return True if it was removed."""
        store = self._store_with(AsyncVersionedProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.delete_if_version(key, version, collection=collection)

    async def put_if_absent(
        self, key: str, value: T, *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        """Store the value if there is no entry; return True if it was stored. Raises the errors of `put`.

        An existing value that is not of the type counts as an entry.
        """
        store = self._store_with(AsyncPutIfAbsentProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.put_if_absent(key, self._json_form.dump(value), collection=collection, ttl=ttl)

    async def update(self, key: str, function: Callable[[T | None], T], *, collection: str | None = None) -> T:
        """Store the result of `function(value)`, and return it. An entry keeps its ttl; a new entry has none.

        `function` gets None if there is no entry. It is called again with the newer value whenever another writer
        intervenes, so it must have no side effects. To leave the entry unchanged, raise an exception in `function`: it
        propagates to the caller.

        Raises ImportError if kv-atomic is not installed, TypeError for an asynchronous function, and the errors of
        `put` and `get_versioned`.
        """
        store = self._store_with(AsyncVersionedProtocol)
        try:
            from key_value.aio.atomic import update
        except ImportError as exc:
            message = "update needs the package kv-atomic: pip install 'kv-adapters[atomic]'"
            raise ImportError(message) from exc
        if iscoroutinefunction(function):
            message = "function must return the new value; it cannot be asynchronous"
            raise TypeError(message)
        if collection is None:
            collection = self._default_collection
        results: list[T] = []

        def change(stored: dict[str, Any] | None) -> dict[str, Any]:
            results[:] = [function(self._load(stored, key, collection, None))]
            return self._json_form.dump(results[0])

        await update(store, key, change, collection=collection)
        return results[0]

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Return every live key of the collection, in no particular order; at most `limit` of them."""
        store = self._store_with(AsyncEnumerateKeysProtocol)
        return await store.keys(self._default_collection if collection is None else collection, limit=limit)

    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        """Return a page of the live keys that begin with `prefix`, like the store's `scan`."""
        store = self._store_with(AsyncScanProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.scan(collection, prefix=prefix, cursor=cursor, limit=limit)

    @property
    def capabilities(self) -> Capabilities:
        """The capabilities of the store."""
        return getattr(self._key_value, "capabilities", Capabilities())

    async def setup(self) -> None:
        """Open the store and prove that it works, if it has a `setup`."""
        setup = getattr(self._key_value, "setup", None)
        if setup is not None:
            await setup()

    async def close(self) -> None:
        """Close the store."""
        close = getattr(self._key_value, "close", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> "Self":
        await self.setup()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    def _store_with(self, protocol: type[P]) -> P:
        """Return the store, typed as the protocol. Raises TypeError if it does not implement the protocol."""
        if not isinstance(self._key_value, protocol):
            message = f"{self._key_value!r} does not satisfy {protocol.__name__}"
            raise TypeError(message)
        return self._key_value

    def _load(self, stored: Mapping[str, Any] | None, key: str, collection: str | None, default: D) -> T | D:
        if stored is None:
            return default
        try:
            return self._json_form.load(stored)
        except DeserializationError as exc:
            error = DeserializationError(exc.message, {"collection": collection, "key": key})
            if self._raise_on_validation_error:
                raise error from None
            _logger.error("%s", error)  # noqa: TRY400 — a traceback would show values
            return default

    def _load_pair(
        self, pair: tuple[Mapping[str, Any] | None, float | None], key: str, collection: str | None
    ) -> tuple[T | None, float | None]:
        value = self._load(pair[0], key, collection, _ABSENT)
        return (None, None) if value is _ABSENT else (value, pair[1])
