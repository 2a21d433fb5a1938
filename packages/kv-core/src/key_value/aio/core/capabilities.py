"""What a store can do beyond the eight methods, as far as a program can act on it."""

from dataclasses import dataclass

__all__ = ["Capabilities"]


@dataclass(frozen=True)
class Capabilities:
    """Declared by each backend, forwarded by wrappers, read by the conformance kit and the documentation.

    The defaults promise nothing.
    """

    durable: bool = False
    """An acknowledged entry survives the end of this process."""

    native_expiry: bool = False
    """The backend removes expired entries by itself. Readers never see them either way."""

    expiry_resolution: float | None = None
    """Seconds to which a native expiry is rounded up; None without native expiry."""

    max_key_bytes: int | None = None
    """The longest stored name in bytes of UTF-8; None when the backend sets no limit below 64 KiB."""

    max_value_bytes: int | None = None
    """The largest stored entry in bytes; None when the backend sets no limit of its own."""

    atomic_put_many: bool = False
    """`put_many` stores all of its entries or none."""
