"""The base of the typed adapters: the methods of a store, on values of a type."""

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
    """A value, its remaining seconds, and the version to name in a conditional write.

    Without an entry all three are None. A value of None with a version is None itself, or a stored value that is not of
    the type.
    """

    value: T | None
    ttl: float | None
    version: str | None


class BasePydanticAdapter(Generic[T]):
    """Values of a type, stored as JSON objects.

    Reads validate. A stored value that is not of the type raises DeserializationError if `raise_on_validation_error` is
    set; otherwise it is logged as an error and reads as absent. In either case the message names the invalid fields,
    and shows nothing of the value. Data that the store itself finds corrupt always raises DeserializationError.

    Puts check that the value is of the type and reads back equal, before anything is stored.

    The methods of the optional protocols raise TypeError if the store lacks them.
    """

    @warn_types
    def __init__(
        self,
        key_value: AsyncKeyValue,
        json_form: JsonForm[Any],
        default_collection: str | None,
        raise_on_validation_error: bool,  # noqa: FBT001 — a public parameter by position
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
        """Return the value, or `default` if there is none."""
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
        """Return the value of each key, or `default` if there is none, in the order of the keys."""
        if collection is None:
            collection = self._default_collection
        found = await self._key_value.get_many(keys, collection=collection)
        return [self._load(stored, key, collection, default) for key, stored in zip(keys, found, strict=True)]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[T | None, float | None]:
        """Return the value and its remaining seconds.

        `(value, None)` if it never expires, `(None, None)` if there is none.
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

        Raises SerializationError, before anything is stored, for a value that is not of the type, that JSON cannot
        hold, or that would not read back equal.
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
        """Store each value under the key at the same position. All are checked before the first is stored."""
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
        """Return value, remaining ttl and version of the entry; all None if there is none."""
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
        """Store the value if the entry still has this version, or for None if there is still no entry.

        Return True if it was stored. A ttl of None means forever. Raises the errors of `put`, and ValueError for a
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
        """Store the value unless there is an entry; return True if it was stored. Raises the errors of `put`.

        An entry that is not of the type counts as an entry.
        """
        store = self._store_with(AsyncPutIfAbsentProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.put_if_absent(key, self._json_form.dump(value), collection=collection, ttl=ttl)

    async def update(self, key: str, function: Callable[[T | None], T], *, collection: str | None = None) -> T:
        """Store the result of `function(value)`, and return it. The entry keeps its ttl; a new one has none.

        `function` gets None if there is no entry. It is called again, with the newer value, whenever somebody else has
        written in between, so it must have no side effects. To leave the entry unchanged, raise an exception in it,
        which passes through.

        Raises ImportError without the distribution kv-atomic, TypeError for an asynchronous function, and the errors of
        `put` and `get_versioned`.
        """
        store = self._store_with(AsyncVersionedProtocol)
        try:
            from key_value.aio.atomic import update
        except ImportError as exc:
            message = "update needs the distribution kv-atomic: pip install 'kv-adapters[atomic]'"
            raise ImportError(message) from exc
        if iscoroutinefunction(function):
            message = "function must be a function that returns the new value; it cannot be asynchronous"
            raise TypeError(message)
        if collection is None:
            collection = self._default_collection
        made: list[T] = []

        def change(stored: dict[str, Any] | None) -> dict[str, Any]:
            made[:] = [function(self._load(stored, key, collection, None))]
            return self._json_form.dump(made[0])

        await update(store, key, change, collection=collection)
        return made[0]

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Return every live key of the collection, in no particular order; at most `limit` of them."""
        store = self._store_with(AsyncEnumerateKeysProtocol)
        return await store.keys(self._default_collection if collection is None else collection, limit=limit)

    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        """Return a page of the live keys that begin with `prefix`, like the `scan` of the store."""
        store = self._store_with(AsyncScanProtocol)
        if collection is None:
            collection = self._default_collection
        return await store.scan(collection, prefix=prefix, cursor=cursor, limit=limit)

    @property
    def capabilities(self) -> Capabilities:
        """The promises of the store."""
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
        """The store, typed as the protocol. Raises TypeError if it does not satisfy it."""
        if not isinstance(self._key_value, protocol):
            message = f"{self._key_value!r} does not satisfy {protocol.__name__}"
            raise TypeError(message)
        return self._key_value

    def _load(self, stored: Mapping[str, Any] | None, key: str, collection: str | None, otherwise: D) -> T | D:
        if stored is None:
            return otherwise
        try:
            return self._json_form.load(stored)
        except DeserializationError as exc:
            error = DeserializationError(exc.message, {"collection": collection, "key": key})
            if self._raise_on_validation_error:
                raise error from None
            _logger.error("%s", error)  # noqa: TRY400 — a traceback prints values
            return otherwise

    def _load_pair(
        self, pair: tuple[Mapping[str, Any] | None, float | None], key: str, collection: str | None
    ) -> tuple[T | None, float | None]:
        value = self._load(pair[0], key, collection, _ABSENT)
        return (None, None) if value is _ABSENT else (value, pair[1])
