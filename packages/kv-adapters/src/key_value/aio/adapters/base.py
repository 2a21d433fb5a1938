"""The base of the typed adapters: the methods of a store, on values of a type."""

import logging
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, Final, Generic, SupportsFloat, TypeVar, overload

from key_value.aio.adapters.json_form import JsonForm
from key_value.aio.core.names import checked_name
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import DeserializationError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["BasePydanticAdapter"]

T = TypeVar("T")
D = TypeVar("D")


class _Absent(Enum):
    ABSENT = "absent"


_ABSENT: Final = _Absent.ABSENT

_logger = logging.getLogger(__name__)


class BasePydanticAdapter(Generic[T]):
    """Values of a type, kept in a store as JSON objects.

    What is read is validated. A stored value that is not of the type raises DeserializationError when
    `raise_on_validation_error` is set; otherwise it is logged as an error and answered as if there were no entry. In
    either case the message names the fields that are wrong, and nothing of the value. Data that the store itself finds
    corrupt is a DeserializationError always.

    What is put is checked to be of the type before anything is stored.
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
        """The value, or `default` when there is none."""
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
        """The value of each key, or `default` where there is none, in the order of the keys."""
        if collection is None:
            collection = self._default_collection
        found = await self._key_value.get_many(keys, collection=collection)
        return [self._load(stored, key, collection, default) for key, stored in zip(keys, found, strict=True)]

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[T | None, float | None]:
        """The value and its remaining seconds.

        `(value, None)` when it never expires, `(None, None)` when there is none.
        """
        if collection is None:
            collection = self._default_collection
        return self._load_pair(await self._key_value.ttl(key, collection=collection), key, collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[T | None, float | None]]:
        """What `ttl` gives, for each key, in the order of the keys."""
        if collection is None:
            collection = self._default_collection
        found = await self._key_value.ttl_many(keys, collection=collection)
        return [self._load_pair(pair, key, collection) for key, pair in zip(keys, found, strict=True)]

    async def put(self, key: str, value: T, *, collection: str | None = None, ttl: SupportsFloat | None = None) -> None:
        """Store the value, for `ttl` seconds or forever.

        Raises SerializationError, before anything is stored, for a value that is not of the type or that JSON cannot
        hold.
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
        """Store each value under the key at the same place. All are checked before the first is stored."""
        if collection is None:
            collection = self._default_collection
        dumped = [self._json_form.dump(value) for value in values]
        await self._key_value.put_many(keys, dumped, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        """Remove the entry; True when there was one."""
        if collection is None:
            collection = self._default_collection
        return await self._key_value.delete(key, collection=collection)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        """Remove the entries; how many there were."""
        if collection is None:
            collection = self._default_collection
        return await self._key_value.delete_many(keys, collection=collection)

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
