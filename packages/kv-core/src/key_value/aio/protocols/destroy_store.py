"""Removing all entries of a store."""

from typing import Protocol, runtime_checkable

__all__ = ["AsyncDestroyStoreProtocol"]


@runtime_checkable
class AsyncDestroyStoreProtocol(Protocol):
    """A store that can remove all of its entries."""

    async def destroy(self) -> bool:
        """Remove every entry of this store and nothing else; return True when done. The store stays usable."""
        ...
