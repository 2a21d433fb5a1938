"""Opening and closing a store."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncLifecycleProtocol"]


@runtime_checkable
class AsyncLifecycleProtocol(Protocol):
    """A store that can be opened and closed explicitly. It also opens itself at its first use."""

    async def setup(self) -> None:
        """Open the store if it is not open, and contact the backend to prove that it works.

        When it returns, server, credentials and permissions work: use it as a readiness probe, any number of times.
        Raises StoreSetupError if retrying does not help, as for a wrong password or a missing permission, and
        StoreConnectionError for an unreachable backend; each gives the reason.
        """
        ...

    async def close(self) -> None:
        """Release the resources that the store opened, not those that the caller passed in. The next use reopens it."""
        ...

    async def __aenter__(self) -> "Self":
        """Run `setup`."""
        ...

    async def __aexit__(self, *exc_info: object) -> None:
        """Run `close`."""
        ...
