"""The base of wrappers that act around each call: try again, limit its time, count it, log it, refuse it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, SupportsFloat, TypeVar

from key_value.aio.core.wrappers.base import BaseWrapper

__all__ = ["BaseCallWrapper", "Call"]

R = TypeVar("R")


class Call(NamedTuple):
    """A call of a public method, without its values."""

    method: str
    collection: str | None = None
    keys: Sequence[str] = ()
    ttl: SupportsFloat | None = None


class BaseCallWrapper(BaseWrapper):
    """A subclass overrides `_around`, which every operation goes through, those of the optional protocols too."""

    async def _around(self, call: Call, operation: Callable[[], Awaitable[R]]) -> R:
        """Run the operation and answer what it answers. It may be run again."""
        del call
        return await operation()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        operation = partial(self.key_value.get, key, collection=collection)
        return await self._around(Call("get", collection, (key,)), operation)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        operation = partial(self.key_value.ttl, key, collection=collection)
        return await self._around(Call("ttl", collection, (key,)), operation)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        operation = partial(self.key_value.put, key, value, collection=collection, ttl=ttl)
        return await self._around(Call("put", collection, (key,), ttl), operation)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        operation = partial(self.key_value.delete, key, collection=collection)
        return await self._around(Call("delete", collection, (key,)), operation)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        operation = partial(self.key_value.get_many, keys, collection=collection)
        return await self._around(Call("get_many", collection, keys), operation)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        operation = partial(self.key_value.ttl_many, keys, collection=collection)
        return await self._around(Call("ttl_many", collection, keys), operation)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        operation = partial(self.key_value.put_many, keys, values, collection=collection, ttl=ttl)
        return await self._around(Call("put_many", collection, keys, ttl), operation)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        operation = partial(self.key_value.delete_many, keys, collection=collection)
        return await self._around(Call("delete_many", collection, keys), operation)

    async def _keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        return await self._around(Call("keys", collection), partial(super()._keys, collection, limit=limit))

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        return await self._around(Call("collections"), partial(super()._collections, limit=limit))

    async def _destroy(self) -> bool:
        return await self._around(Call("destroy"), super()._destroy)

    async def _destroy_collection(self, collection: str) -> bool:
        operation = partial(super()._destroy_collection, collection)
        return await self._around(Call("destroy_collection", collection), operation)

    async def _cull(self) -> None:
        return await self._around(Call("cull"), super()._cull)
