"""An application that passes different stores, including its own, to the framework."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat

from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.redis import RedisStore

import framework


class ForeignStore:
    """A store with only the eight methods and without our base classes."""

    def __init__(self) -> None:
        self._values: dict[tuple[str | None, str], dict[str, Any]] = {}

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return self._values.get((collection, key))

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return await self.get(key, collection=collection), None

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,  # noqa: ARG002 — entries of this store do not expire
    ) -> None:
        self._values[collection, key] = dict(value)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return self._values.pop((collection, key), None) is not None

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return [await self.get(key, collection=collection) for key in keys]

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return [await self.ttl(key, collection=collection) for key in keys]

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        for key, value in zip(keys, values, strict=True):
            await self.put(key, value, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return sum([await self.delete(key, collection=collection) for key in keys])


def redis_from(url: str) -> AsyncKeyValue:
    return RedisStore(url=url, default_collection="application")


async def main(storage: AsyncKeyValue | None = None) -> None:
    store: AsyncKeyValue = storage or MemoryStore(max_entries_per_collection=1_000)
    async with MemoryStore() as opened:
        counts: list[int] = [await framework.exercise(each) for each in (store, opened, ForeignStore())]
    sessions: list[str] = await framework.sessions(store)
    durable: bool = await framework.start(store)
    visits: list[int | None] = [await framework.count_visit(each, "sue") for each in (store, store, ForeignStore())]
    page = await framework.page(store, None)
    await framework.stop(store)
    print(counts, sessions, durable, visits, page.keys, page.cursor)


if __name__ == "__main__":
    asyncio.run(main())
