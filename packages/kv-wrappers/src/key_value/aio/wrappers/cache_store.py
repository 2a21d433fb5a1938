"""The store behind PassthroughCacheWrapper's cache, which may fail."""

from collections.abc import Awaitable
from logging import Logger, getLogger
from typing import Any

from key_value.aio.errors import BaseKeyValueError, KeyValueStoreError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncKeyValue,
)
from key_value.aio.wrappers.timeout import TimeoutWrapper

__all__ = ["CacheStore", "attempt"]

logger: Logger = getLogger("key_value.aio.wrappers.passthrough_cache")


class CacheStore:
    """A store whose operations end after `timeout` seconds. A failed read finds nothing; a failure is logged.

    The methods that remove raise, because their caller must know.
    """

    def __init__(self, store: AsyncKeyValue, timeout: float) -> None:
        self._store = TimeoutWrapper(store, timeout)

    async def setup(self) -> None:
        await attempt("open", self._store.setup())

    async def close(self) -> None:
        await attempt("close", self._store.close())

    async def cull(self) -> None:
        if isinstance(self._store, AsyncCullProtocol):
            await attempt("cull", self._store.cull())

    async def get(self, collection: str, key: str) -> dict[str, Any] | None:
        try:
            return await self._store.get(key, collection=collection)
        except Exception as exc:  # noqa: BLE001 — whatever the cache raises
            _log("get", exc)
            return None

    async def get_many(self, collection: str, keys: list[str]) -> dict[str, dict[str, Any]]:
        """The entries that it has."""
        if not keys:
            return {}
        try:
            values = await self._store.get_many(keys, collection=collection)
        except Exception as exc:  # noqa: BLE001 — whatever the cache raises
            _log("get_many", exc)
            return {}
        return {key: value for key, value in zip(keys, values, strict=True) if value is not None}

    def put(self, collection: str | None, entries: dict[str, dict[str, Any]], ttl: float) -> Awaitable[None]:
        if len(entries) == 1:
            ((key, value),) = entries.items()
            return self._store.put(key, value, collection=collection, ttl=ttl)
        return self._store.put_many(list(entries), list(entries.values()), collection=collection, ttl=ttl)

    async def remove(self, collection: str | None, keys: list[str]) -> None:
        if len(keys) == 1:
            await self._store.delete(keys[0], collection=collection)
        else:
            await self._store.delete_many(keys, collection=collection)

    async def remove_collection(self, collection: str) -> None:
        if not isinstance(self._store, AsyncDestroyCollectionProtocol):
            message = "it cannot remove a collection, which will not be cached until its entries there have expired"
            raise KeyValueStoreError(message)
        await self._store.destroy_collection(collection)

    async def remove_all(self) -> None:
        if not isinstance(self._store, AsyncDestroyStoreProtocol):
            message = "it cannot be emptied, and will not be used until its entries have expired"
            raise KeyValueStoreError(message)
        await self._store.destroy()


async def attempt(what: str, operation: Awaitable[object]) -> bool:
    """Whether the cache did it. That it failed is logged."""
    try:
        await operation
    except Exception as exc:  # noqa: BLE001 — whatever the cache raises
        _log(what, exc)
        return False
    return True


def _log(what: str, error: Exception) -> None:
    # Our own messages hold no values; a driver's may.
    shown = f": {error}" if isinstance(error, BaseKeyValueError) else ""
    logger.warning("the cache failed to %s; going on without it (%s%s)", what, type(error).__name__, shown)
