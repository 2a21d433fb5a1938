"""Writing an entry only if it has not changed."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, SupportsFloat, runtime_checkable

__all__ = ["AsyncVersionedProtocol", "Versioned"]


class Versioned(NamedTuple):
    """A value, its remaining seconds, and the version to pass to a conditional write.

    All three are None if there is no entry. A value of None with a version means that a wrapper hides the entry, for
    example because it cannot decrypt it; you can replace it.
    """

    value: dict[str, Any] | None
    ttl: float | None
    version: str | None


@runtime_checkable
class AsyncVersionedProtocol(Protocol):
    """A store with versioned entries: read, compute, and write only if nothing was written in between.

    A version is opaque text, compared only for equality. It belongs to one key and changes with every write of the
    entry, by any writer. Conditional writes are atomic with respect to all writers of the backend, including other
    processes and machines.
    """

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        """Return the value, remaining ttl and version of the entry; all None if it is absent or expired."""
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
        """Store the value if the entry still has this version, or, with None, if there is still no entry.

        Returns True if it was stored. As with `put`, an entry with a ttl of None never expires. Raises the errors of
        `put`, ValueError for a version that `get_versioned` did not return for this key, and StoreSetupError if
        `capabilities.conditional_writes` is False.
        """
        ...

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        """Remove the entry if it still has this version; return whether it did. Raises like `put_if_version`."""
        ...
