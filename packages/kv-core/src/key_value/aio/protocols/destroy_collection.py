"""Removing a collection."""

from typing import Protocol, runtime_checkable

__all__ = ["AsyncDestroyCollectionProtocol"]


@runtime_checkable
class AsyncDestroyCollectionProtocol(Protocol):
    """A store that can remove a collection."""

    async def destroy_collection(self, collection: str) -> bool:
        """Remove every entry of the collection; return True if it held any. The collection stays usable."""
        ...
