"""The base of wrappers that act on each call as a whole: retry it, limit its time, count it, log it or refuse it."""

from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.core.wrappers.base import BaseWrapper
from key_value.aio.core.wrappers.call import Call

__all__ = ["BaseCallWrapper"]


class BaseCallWrapper(BaseWrapper):
    """Passes every operation, including those of the optional protocols, through `_around`. Subclasses override it."""

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await self._around(Call("get", key, collection=collection))

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return await self._around(Call("ttl", key, collection=collection))

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self._around(Call("put", key, value, collection=collection, ttl=ttl))

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self._around(Call("delete", key, collection=collection))

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return await self._around(Call("get_many", keys, collection=collection))

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return await self._around(Call("ttl_many", keys, collection=collection))

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self._around(Call("put_many", keys, values, collection=collection, ttl=ttl))

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self._around(Call("delete_many", keys, collection=collection))
