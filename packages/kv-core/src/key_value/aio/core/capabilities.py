"""Properties of a store that differ between backends and that a program can test."""

from dataclasses import dataclass

__all__ = ["Capabilities"]


@dataclass(frozen=True)
class Capabilities:
    """The guarantees of a store. Backends declare them, wrappers forward them, and the conformance kit checks them.

    The defaults guarantee nothing.
    """

    durable: bool = False
    """An acknowledged entry survives the end of this process."""

    native_expiry: bool = False
    """The backend removes expired entries by itself. Readers never see them either way."""

    expiry_resolution: float | None = None
    """Unit, in seconds, to which native expiry is rounded up; None without native expiry."""

    max_key_bytes: int | None = None
    """Maximum length of a stored name in bytes of UTF-8; None if the backend sets no limit below 64 KiB."""

    max_value_bytes: int | None = None
    """Maximum size of a stored entry in bytes; None if the backend sets no limit of its own."""

    atomic_put_many: bool = False
    """`put_many` stores all of its entries or none."""

    atomic_delete: bool = False
    """Exactly one of several concurrent deletes of an entry returns True, which suffices for a one-time code."""

    conditional_writes: bool = False
    """Conditional writes are atomic. False if the store has the methods but its server does not make them atomic."""
