"""Opening and closing a store."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncLifecycleProtocol"]


@runtime_checkable
class AsyncLifecycleProtocol(Protocol):
    """A store that can be opened and closed explicitly. It also opens itself at its first use."""

    async def setup(self) -> None:
        """Open the store if it is not open, and contact the backend to verify that it works.

        When it returns, server, credentials and permissions work. You can call it repeatedly as a readiness probe.
        Raises StoreSetupError if retrying does not help, as with a wrong password or a missing permission, and
        StoreConnectionError if the backend is unreachable; the message gives the reason.
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
