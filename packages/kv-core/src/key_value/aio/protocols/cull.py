"""Removing expired entries."""

from typing import Protocol, runtime_checkable

__all__ = ["AsyncCullProtocol"]


@runtime_checkable
class AsyncCullProtocol(Protocol):
    """A store whose expired entries occupy space until they are removed."""

    async def cull(self) -> None:
        """Remove every expired entry."""
        ...
