"""PassthroughCacheWrapper's cache store, which is allowed to fail."""

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
    """A store with a timeout in seconds for each operation. Failures are logged, and a failed read finds nothing.

    The `remove` methods raise instead, because the caller must know that stale entries may remain.
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
        """Return the cached entries."""
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
            message = "it cannot remove a collection, so the collection is not cached until its old entries expire"
            raise KeyValueStoreError(message)
        await self._store.destroy_collection(collection)

    async def remove_all(self) -> None:
        if not isinstance(self._store, AsyncDestroyStoreProtocol):
            message = "it cannot be emptied, so it is not used until its entries expire"
            raise KeyValueStoreError(message)
        await self._store.destroy()


async def attempt(name: str, operation: Awaitable[object]) -> bool:
    """Run a cache operation. Log a failure and return False for it."""
    try:
        await operation
    except Exception as exc:  # noqa: BLE001 — whatever the cache raises
        _log(name, exc)
        return False
    return True


def _log(name: str, error: Exception) -> None:
    # This library's messages contain no values; a driver's may.
    details = f": {error}" if isinstance(error, BaseKeyValueError) else ""
    logger.warning("the cache failed to %s; continuing without it (%s%s)", name, type(error).__name__, details)
