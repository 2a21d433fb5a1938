"""FallbackWrapper: a second store for what the first one fails to do."""

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from logging import getLogger
from typing import Any, SupportsFloat, cast

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseWrapper
from key_value.aio.protocols import AsyncEnumerateCollectionsProtocol, AsyncEnumerateKeysProtocol, AsyncKeyValue

__all__ = ["FallbackWrapper"]

logger = getLogger(__name__)


class FallbackWrapper(BaseWrapper):
    """Asks the fallback store when the primary one raises one of `fallback_on`; never when it is cancelled.

    Reads fall back: `get`, `ttl`, their batches as a whole, and `keys` and `collections` where the fallback has them.
    What the fallback answers or raises is the outcome. That an entry is absent is an answer, for which the fallback is
    not asked.

    Writes raise, unless `write_to_fallback` is set: then a put or delete that fails in the primary is done in the
    fallback. `destroy`, `destroy_collection` and `cull` are the primary's alone. Abilities and capabilities too are
    the primary's.

    Nothing copies entries from one store to the other. While the primary fails, reads give what the fallback holds,
    which may be older or absent; when it is back, they give what the primary holds, and no longer what was written to
    the fallback meanwhile. A write that timed out may be in both.
    """

    @warn_types
    def __init__(
        self,
        primary_key_value: AsyncKeyValue,
        fallback_key_value: AsyncKeyValue,
        fallback_on: tuple[type[Exception], ...] = (Exception,),
        write_to_fallback: bool = False,  # noqa: FBT001, FBT002 — as it was
    ) -> None:
        """Raises ValueError unless `fallback_on` is a tuple of at least one subclass of Exception."""
        if not _are_errors(fallback_on):
            message = f"fallback_on must be a tuple of at least one subclass of Exception, not {fallback_on!r}"
            raise ValueError(message)
        super().__init__(primary_key_value)
        self.fallback_key_value = fallback_key_value
        self.fallback_on = fallback_on
        self.write_to_fallback = write_to_fallback
        self._fallback_on_writes = fallback_on if write_to_fallback else ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r}, {self.fallback_key_value!r})"

    async def setup(self) -> None:
        """Open both stores now. Where one raises one of `fallback_on` it is logged; where both do it is raised."""
        fallback = BaseWrapper(self.fallback_key_value)
        try:
            await super().setup()
        except self.fallback_on as exc:
            _log_setup("primary", exc)
            await fallback.setup()
            return
        try:
            await fallback.setup()
        except self.fallback_on as exc:
            _log_setup("fallback", exc)

    async def close(self) -> None:
        """Close both stores, the second also when the first one raises."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(BaseWrapper(self.fallback_key_value).close)
            await super().close()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await self.key_value.get(key, collection=collection)
        except self.fallback_on:
            return await self.fallback_key_value.get(key, collection=collection)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        try:
            return await self.key_value.ttl(key, collection=collection)
        except self.fallback_on:
            return await self.fallback_key_value.ttl(key, collection=collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        try:
            return await self.key_value.put(key, value, collection=collection, ttl=ttl)
        except self._fallback_on_writes:
            return await self.fallback_key_value.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        try:
            return await self.key_value.delete(key, collection=collection)
        except self._fallback_on_writes:
            return await self.fallback_key_value.delete(key, collection=collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        try:
            return await self.key_value.get_many(keys, collection=collection)
        except self.fallback_on:
            return await self.fallback_key_value.get_many(keys, collection=collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        try:
            return await self.key_value.ttl_many(keys, collection=collection)
        except self.fallback_on:
            return await self.fallback_key_value.ttl_many(keys, collection=collection)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        try:
            return await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)
        except self._fallback_on_writes:
            return await self.fallback_key_value.put_many(keys, values, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        try:
            return await self.key_value.delete_many(keys, collection=collection)
        except self._fallback_on_writes:
            return await self.fallback_key_value.delete_many(keys, collection=collection)

    async def _keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        try:
            return await super()._keys(collection, limit=limit)
        except self.fallback_on:
            if not isinstance(self.fallback_key_value, AsyncEnumerateKeysProtocol):
                raise
            return await self.fallback_key_value.keys(collection, limit=limit)

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        try:
            return await super()._collections(limit=limit)
        except self.fallback_on:
            if not isinstance(self.fallback_key_value, AsyncEnumerateCollectionsProtocol):
                raise
            return await self.fallback_key_value.collections(limit=limit)


def _are_errors(errors: Any) -> bool:
    if not isinstance(errors, tuple) or not errors:
        return False
    return all(isinstance(error, type) and issubclass(error, Exception) for error in cast("tuple[Any, ...]", errors))


def _log_setup(which: str, error: Exception) -> None:
    # A driver's message may hold anything, so only its type is shown.
    logger.warning("the %s store could not be opened (%s); its next use tries again", which, type(error).__name__)
