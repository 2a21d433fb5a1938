"""Writing an entry only if none exists."""

from collections.abc import Mapping
from typing import Any, Protocol, SupportsFloat, runtime_checkable

__all__ = ["AsyncPutIfAbsentProtocol"]


@runtime_checkable
class AsyncPutIfAbsentProtocol(Protocol):
    """A store that can put an entry only if none exists, atomically with respect to all writers of the backend."""

    async def put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        """Store the value unless a live entry exists; return True if it was stored.

        If several calls for an absent key run concurrently, in this process or elsewhere, exactly one stores its value.
        Raises the errors of `put`, and StoreSetupError if `capabilities.conditional_writes` is False.
        """
        ...
