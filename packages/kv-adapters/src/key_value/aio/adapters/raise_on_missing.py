"""RaiseOnMissingAdapter: reads that raise for absent entries."""

from collections.abc import Sequence
from typing import Any, Literal, overload

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.errors import MissingKeyError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["RaiseOnMissingAdapter"]


class RaiseOnMissingAdapter(BaseWrapper):
    """Adds the argument `raise_on_missing` to reads: with True, an absent entry raises MissingKeyError.

    A batch raises for the first absent key. Without the argument, a read returns the result of the inner store.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue) -> None:
        super().__init__(key_value)

    @overload
    async def get(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[False] = False
    ) -> dict[str, Any] | None: ...

    @overload
    async def get(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[True]
    ) -> dict[str, Any]: ...

    @overload
    async def get(
        self, key: str, *, collection: str | None = None, raise_on_missing: bool
    ) -> dict[str, Any] | None: ...

    async def get(
        self, key: str, *, collection: str | None = None, raise_on_missing: bool = False
    ) -> dict[str, Any] | None:
        value = await self.key_value.get(key, collection=collection)
        if value is None and raise_on_missing:
            raise MissingKeyError(operation="get", collection=collection, key=key)
        return value

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[False] = False
    ) -> list[dict[str, Any] | None]: ...

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[True]
    ) -> list[dict[str, Any]]: ...

    @overload
    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool
    ) -> list[dict[str, Any]] | list[dict[str, Any] | None]: ...

    async def get_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool = False
    ) -> list[dict[str, Any]] | list[dict[str, Any] | None]:
        values = await self.key_value.get_many(keys, collection=collection)
        if raise_on_missing:
            for key, value in zip(keys, values, strict=True):
                if value is None:
                    raise MissingKeyError(operation="get_many", collection=collection, key=key)
        return values

    @overload
    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[False] = False
    ) -> tuple[dict[str, Any] | None, float | None]: ...

    @overload
    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: Literal[True]
    ) -> tuple[dict[str, Any], float | None]: ...

    @overload
    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: bool
    ) -> tuple[dict[str, Any] | None, float | None]: ...

    async def ttl(
        self, key: str, *, collection: str | None = None, raise_on_missing: bool = False
    ) -> tuple[dict[str, Any] | None, float | None]:
        value, seconds = await self.key_value.ttl(key, collection=collection)
        if value is None and raise_on_missing:
            raise MissingKeyError(operation="ttl", collection=collection, key=key)
        return value, seconds

    @overload
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[False] = False
    ) -> list[tuple[dict[str, Any] | None, float | None]]: ...

    @overload
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: Literal[True]
    ) -> list[tuple[dict[str, Any], float | None]]: ...

    @overload
    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool
    ) -> list[tuple[dict[str, Any], float | None]] | list[tuple[dict[str, Any] | None, float | None]]: ...

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None, raise_on_missing: bool = False
    ) -> list[tuple[dict[str, Any], float | None]] | list[tuple[dict[str, Any] | None, float | None]]:
        pairs = await self.key_value.ttl_many(keys, collection=collection)
        if raise_on_missing:
            for key, (value, _) in zip(keys, pairs, strict=True):
                if value is None:
                    raise MissingKeyError(operation="ttl_many", collection=collection, key=key)
        return pairs
