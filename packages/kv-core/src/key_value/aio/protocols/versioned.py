"""Writing an entry only if nobody else has changed it."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, SupportsFloat, runtime_checkable

__all__ = ["AsyncVersionedProtocol", "Versioned"]


class Versioned(NamedTuple):
    """A value, its remaining seconds, and the version to name in a conditional write.

    Without an entry all three are None. A value of None with a version is an entry that a wrapper hides, such as one
    that it cannot decrypt; you can replace it.
    """

    value: dict[str, Any] | None
    ttl: float | None
    version: str | None


@runtime_checkable
class AsyncVersionedProtocol(Protocol):
    """A store whose entries have versions: read, compute, and write only if nothing was written in between.

    A version is opaque text, compared for equality only. It belongs to one key and changes with every write of the
    entry by anyone. The conditional writes are atomic against all writers of the backend, in other processes and on
    other machines too.
    """

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        """Return value, remaining ttl and version of the entry; all None if it is absent or expired."""
        ...

    async def put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        """Store the value if the entry still has this version, or for None if there is still no entry.

        Return True if it was stored. As with `put`, a ttl of None means forever. Raises the errors of `put`, ValueError
        for a version that `get_versioned` did not return for this key, and StoreSetupError if
        `capabilities.conditional_writes` is False.
        """
        ...

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        """Remove the entry if it still has this version; return whether it did. Raises like `put_if_version`."""
        ...
