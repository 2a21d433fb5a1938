"""Removing expired entries."""

from abc import abstractmethod

from key_value.aio.protocols import AsyncCullProtocol
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BaseCullStore"]


class BaseCullStore(BaseStore, AsyncCullProtocol):
    """A store whose expired entries occupy space until they are removed."""

    @abstractmethod
    async def _cull(self) -> None:
        """Remove every expired entry."""

    async def cull(self) -> None:
        await self._open()
        await self._translated(self._cull())
