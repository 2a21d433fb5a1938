"""The base of wrappers that change values or ttls."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, SupportsFloat

from key_value.aio.core.names import checked_names
from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.errors import BaseKeyValueError
from key_value.aio.protocols import AsyncPutIfAbsentProtocol, AsyncVersionedProtocol, Versioned

__all__ = ["BaseValueWrapper"]

Pair = tuple[dict[str, Any] | None, float | None]


class BaseValueWrapper(BaseWrapper):
    """Converts values and ttls. Subclasses override `_inner_value` and its inverse `_outer_value`, `_inner_ttl` or
    `_absent`.

    To get the JSON text of a value, use `EncodedDict.of(value)` of `key_value.aio.core.codec` and return an
    EncodedDict, so that a stack of wrappers encodes the value once. A subclass that needs asynchronous preparation sets
    `_ready` to False, and to True at the end of `_prepare`. Errors raised by a conversion get the collection and key in
    their `extra_info`.
    """

    changes: ClassVar[frozenset[str]] = frozenset({"values"})

    _ready: bool = True

    async def _prepare(self) -> None:
        """Prepare for conversions. Runs before each call while `_ready` is False."""

    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Return the value to store, or None to skip it. All values of a batch are converted before any is stored."""
        return value

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any] | None:
        """Return the value to show for the stored one, or None to treat the entry as absent."""
        return inner_value

    def _inner_ttl(self, ttl: SupportsFloat | None) -> SupportsFloat | None:
        """Return the ttl to store."""
        return ttl

    def _absent(self) -> Pair:
        """Return the value and ttl to report for an absent entry."""
        return None, None

    async def setup(self) -> None:
        if not self._ready:
            await self._prepare()
        await super().setup()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        if not self._ready:
            await self._prepare()
        value = await self.key_value.get(key, collection=collection)
        if value is not None:
            value = self._to_outer(value, key, collection)
        return self._absent()[0] if value is None else value

    async def ttl(self, key: str, *, collection: str | None = None) -> Pair:
        if not self._ready:
            await self._prepare()
        return self._to_outer_pair(await self.key_value.ttl(key, collection=collection), key, collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        if not self._ready:
            await self._prepare()
        inner_value = self._to_inner(value, key, collection)
        if inner_value is not None:
            await self.key_value.put(key, inner_value, collection=collection, ttl=self._inner_ttl(ttl))

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        if not self._ready:
            await self._prepare()
        found = await self.key_value.get_many(keys, collection=collection)
        values = [
            None if value is None else self._to_outer(value, key, collection)
            for key, value in zip(keys, found, strict=True)
        ]
        return [self._absent()[0] if value is None else value for value in values]

    async def ttl_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[Pair]:
        if not self._ready:
            await self._prepare()
        pairs = await self.key_value.ttl_many(keys, collection=collection)
        return [self._to_outer_pair(pair, key, collection) for key, pair in zip(keys, pairs, strict=True)]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        if not self._ready:
            await self._prepare()
        ttl = self._inner_ttl(ttl)
        keys = checked_names(keys)
        if len(keys) != len(values):
            # The inner store raises the ValueError.
            return await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)
        converted = [self._to_inner(value, key, collection) for key, value in zip(keys, values, strict=True)]
        kept = [(key, value) for key, value in zip(keys, converted, strict=True) if value is not None]
        return await self.key_value.put_many(
            [key for key, _ in kept], [value for _, value in kept], collection=collection, ttl=ttl
        )

    async def _put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        if not self._ready:
            await self._prepare()
        inner_value = self._to_inner(value, key, collection)
        if inner_value is None:
            return False
        return await self._inner(AsyncPutIfAbsentProtocol).put_if_absent(
            key, inner_value, collection=collection, ttl=self._inner_ttl(ttl)
        )

    async def _get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        if not self._ready:
            await self._prepare()
        value, ttl, version = await self._inner(AsyncVersionedProtocol).get_versioned(key, collection=collection)
        return Versioned(*self._to_outer_pair((value, ttl), key, collection), version)

    async def _put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        if not self._ready:
            await self._prepare()
        inner_value = self._to_inner(value, key, collection)
        if inner_value is None:
            return False
        return await self._inner(AsyncVersionedProtocol).put_if_version(
            key, inner_value, version, collection=collection, ttl=self._inner_ttl(ttl)
        )

    def _to_inner(self, value: Mapping[str, Any], key: str, collection: str | None) -> Mapping[str, Any] | None:
        if value is None:  # pyright: ignore[reportUnnecessaryComparison] — from untyped callers
            message = "value must be a mapping, not NoneType"
            raise TypeError(message)
        try:
            return self._inner_value(value)
        except BaseKeyValueError as exc:
            _add_names(exc, key, collection)
            raise

    def _to_outer(self, inner_value: dict[str, Any], key: str, collection: str | None) -> dict[str, Any] | None:
        try:
            return self._outer_value(inner_value)
        except BaseKeyValueError as exc:
            _add_names(exc, key, collection)
            raise

    def _to_outer_pair(self, inner_pair: Pair, key: str, collection: str | None) -> Pair:
        inner_value, seconds = inner_pair
        value = None if inner_value is None else self._to_outer(inner_value, key, collection)
        return self._absent() if value is None else (value, seconds)


def _add_names(error: BaseKeyValueError, key: str, collection: str | None) -> None:
    """Add the names to the error, which identifies the failed entry of a batch."""
    error.extra_info = {**(error.extra_info or {}), "collection": collection, "key": key}
