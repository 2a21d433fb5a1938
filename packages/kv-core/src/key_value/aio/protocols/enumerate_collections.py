"""Listing the collections of a store."""

from typing import Protocol, runtime_checkable

__all__ = ["AsyncEnumerateCollectionsProtocol"]


@runtime_checkable
class AsyncEnumerateCollectionsProtocol(Protocol):
    """A store that can list its collections."""

    async def collections(self, *, limit: int | None = None) -> list[str]:
        """Return the collections that hold a live entry, once each, in no particular order, at most `limit` of them.

        Raises ValueError for a negative limit.
        """
        ...
