"""The base of wrappers that store something else in place of the value."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.core.wrappers.base import BaseWrapper

__all__ = ["BaseValueWrapper"]


class BaseValueWrapper(BaseWrapper):
    """A subclass overrides `_inner_value`, and `_outer_value` as its inverse.

    A subclass that needs a value's JSON takes it from `EncodedDict.of(value)` of `key_value.aio.core.codec`, and gives
    an EncodedDict: then the value is encoded once, however many wrappers there are. One that must wait for something
    before its first value sets `_ready` to False, and to True in `_prepare`.
    """

    _ready: bool = True

    async def _prepare(self) -> None:
        """Runs before values are converted, until `_ready` is true."""

    def _inner_value(self, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """What is stored for a value. A batch is converted before any of it is stored."""
        return value

    def _outer_value(self, inner_value: dict[str, Any]) -> dict[str, Any] | None:
        """The value behind what is stored; None to answer as if there were no entry."""
        return inner_value

    async def setup(self) -> None:
        if not self._ready:
            await self._prepare()
        await super().setup()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        if not self._ready:
            await self._prepare()
        inner_value = await self.key_value.get(key, collection=collection)
        return None if inner_value is None else self._outer_value(inner_value)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        if not self._ready:
            await self._prepare()
        return self._outer_pair(await self.key_value.ttl(key, collection=collection))

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
        return await self.key_value.put(key, self._inner_value(value), collection=collection, ttl=ttl)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        if not self._ready:
            await self._prepare()
        inner_values = await self.key_value.get_many(keys, collection=collection)
        return [None if inner_value is None else self._outer_value(inner_value) for inner_value in inner_values]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        if not self._ready:
            await self._prepare()
        return [self._outer_pair(pair) for pair in await self.key_value.ttl_many(keys, collection=collection)]

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
        inner_values = [self._inner_value(value) for value in values]
        return await self.key_value.put_many(keys, inner_values, collection=collection, ttl=ttl)

    def _outer_pair(
        self, inner_pair: tuple[dict[str, Any] | None, float | None]
    ) -> tuple[dict[str, Any] | None, float | None]:
        inner_value, seconds = inner_pair
        value = None if inner_value is None else self._outer_value(inner_value)
        return (None, None) if value is None else (value, seconds)
