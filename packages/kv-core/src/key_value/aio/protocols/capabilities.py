"""The guarantees of a store beyond its methods."""

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from key_value.aio.core.capabilities import Capabilities

__all__ = ["CapabilitiesProtocol"]


@runtime_checkable
class CapabilitiesProtocol(Protocol):
    """A store that declares its capabilities."""

    @property
    def capabilities(self) -> "Capabilities":
        """The guarantees of the backend; a wrapper forwards them."""
        ...
