"""Writing an entry only if there is none."""

from collections.abc import Mapping
from typing import Any, Protocol, SupportsFloat, runtime_checkable

__all__ = ["AsyncPutIfAbsentProtocol"]


@runtime_checkable
class AsyncPutIfAbsentProtocol(Protocol):
    """A store that can put an entry only if there is none, atomically against every writer of the backend."""

    async def put_if_absent(
        self, key: str, value: Mapping[str, Any], *, collection: str | None = None, ttl: SupportsFloat | None = None
    ) -> bool:
        """Store the value unless there is a live entry; return True if it was stored.

        Of any number of concurrent calls for a key, in this process and elsewhere, one stores its value. Raises the
        errors of `put`, and StoreSetupError if `capabilities.conditional_writes` is False.
        """
        ...
