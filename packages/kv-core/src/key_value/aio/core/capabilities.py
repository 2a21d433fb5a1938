"""The properties of a store that differ between backends and that a program can act on."""

from dataclasses import dataclass

__all__ = ["Capabilities"]


@dataclass(frozen=True)
class Capabilities:
    """The promises of a store. Backends declare them, wrappers forward them, the conformance kit and the docs read
    them.

    The defaults promise nothing.
    """

    durable: bool = False
    """An acknowledged entry survives the end of this process."""

    native_expiry: bool = False
    """The backend removes expired entries by itself. Readers never see them either way."""

    expiry_resolution: float | None = None
    """Unit, in seconds, to which native expiry is rounded up; None without native expiry."""

    max_key_bytes: int | None = None
    """The longest stored name in bytes of UTF-8; None when the backend sets no limit below 64 KiB."""

    max_value_bytes: int | None = None
    """The largest stored entry in bytes; None when the backend sets no limit of its own."""

    atomic_put_many: bool = False
    """`put_many` stores all of its entries or none."""

    atomic_delete: bool = False
    """Exactly one of several concurrent deletes of an entry returns True, which is enough for a safe one-time code."""

    conditional_writes: bool = False
    """The store's conditional writes are atomic. False for a store that has the methods, but a server that breaks them.
    """
