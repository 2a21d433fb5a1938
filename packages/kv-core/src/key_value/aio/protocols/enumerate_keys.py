"""Listing the keys of a collection."""

from typing import Protocol, runtime_checkable

__all__ = ["AsyncEnumerateKeysProtocol"]


@runtime_checkable
class AsyncEnumerateKeysProtocol(Protocol):
    """A store that can list the keys of a collection."""

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        """Return the live keys of the collection, once each, in no particular order, at most `limit` of them.

        Raises ValueError for a negative limit.
        """
        ...
