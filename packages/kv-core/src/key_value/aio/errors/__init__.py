"""The exceptions of stores, wrappers and adapters.

Messages and `extra_info` never contain a stored value, a password or a token. The driver's own exception is the
`__cause__`.
"""

from typing import Any

import key_value.aio.core as _core  # noqa: F401  # pyright: ignore[reportUnusedImport] — refuses a mixed environment

__all__ = [
    "BaseKeyValueError",
    "CorruptedDataError",
    "DecryptionError",
    "DeserializationError",
    "EncryptionError",
    "EncryptionVersionError",
    "EntryTooLargeError",
    "EntryTooSmallError",
    "ExtraInfoType",
    "InvalidKeyError",
    "InvalidTTLError",
    "KeyValueOperationError",
    "KeyValueStoreError",
    "MissingKeyError",
    "PathSecurityError",
    "ReadOnlyError",
    "SerializationError",
    "StoreConnectionError",
    "StoreSetupError",
    "StoreTimeoutError",
    "ValueTooLargeError",
]

ExtraInfoType = dict[str, str | int | float | bool | None]


def _rebuild(cls: "type[BaseKeyValueError]", message: str, extra_info: ExtraInfoType | None) -> "BaseKeyValueError":
    error = cls.__new__(cls, message)
    BaseKeyValueError.__init__(error, message, extra_info)
    return error


class BaseKeyValueError(Exception):
    """Base class of all errors. `extra_info` holds the details of the message in machine-readable form."""

    message: str
    extra_info: ExtraInfoType | None

    def __init__(self, message: str | None = None, extra_info: ExtraInfoType | None = None) -> None:
        self.message = message or "A key-value operation failed"
        self.extra_info = extra_info
        super().__init__(self.message)

    # Some subclasses also inherit KeyError or OSError, which override __str__.
    def __str__(self) -> str:
        if not self.extra_info:
            return self.message
        details = ", ".join(f"{name}={detail!r}" for name, detail in self.extra_info.items())
        return f"{self.message} ({details})"

    # Errors must pickle. The default __reduce__ would call a subclass's own constructor with the message.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.extra_info)


class KeyValueOperationError(BaseKeyValueError):
    """The operation failed because of its key, value or ttl; the store itself works."""


class SerializationError(KeyValueOperationError, ValueError):
    """The value cannot be represented in JSON; the message gives the path of the offending part. Nothing was stored."""


class DeserializationError(KeyValueOperationError):
    """The data stored under the key is not a complete entry. It is left unchanged."""


class InvalidKeyError(KeyValueOperationError):
    """A key or collection is empty, longer than the backend allows, or cannot be encoded as UTF-8."""


# Python refuses to print an int of more than 4300 digits.
_MAX_PRINTED_INT = 10**18


class InvalidTTLError(KeyValueOperationError):
    """A ttl is not a finite number of seconds above zero that ends before the year 10000."""

    def __init__(self, ttl: Any, extra_info: ExtraInfoType | None = None, *, name: str = "ttl") -> None:
        """`name` is the name of the parameter, for the message and `extra_info`."""
        message = f"A {name} must be a finite number of seconds above zero that ends before the year 10000"
        if isinstance(ttl, bool):
            message += "; a bool is not accepted"
        printable = isinstance(ttl, float) or (isinstance(ttl, int) and abs(ttl) < _MAX_PRINTED_INT)
        shown = ttl if printable else type(ttl).__name__
        super().__init__(message, {name: shown, **(extra_info or {})})


class MissingKeyError(KeyValueOperationError, KeyError):
    """A required entry is absent or expired."""

    def __init__(self, operation: str, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "There is no entry under the key", {"operation": operation, "collection": collection, "key": key}
        )


class ValueTooLargeError(KeyValueOperationError):
    """The entry exceeds the backend's size limit. Sizes are in bytes."""

    def __init__(self, size: int, max_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The entry exceeds the size limit of the backend",
            {"size": size, "max_size": max_size, "collection": collection, "key": key},
        )


class EntryTooLargeError(KeyValueOperationError):
    """The entry exceeds the configured maximum size. Sizes are in bytes."""

    def __init__(self, size: int, max_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The entry is larger than the configured maximum",
            {"size": size, "max_size": max_size, "collection": collection, "key": key},
        )


class EntryTooSmallError(KeyValueOperationError):
    """The entry is below the configured minimum size. Sizes are in bytes."""

    def __init__(self, size: int, min_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The entry is smaller than the configured minimum",
            {"size": size, "min_size": min_size, "collection": collection, "key": key},
        )


class ReadOnlyError(KeyValueOperationError):
    """A write was refused because the store is read-only."""

    def __init__(self, operation: str, collection: str | None = None, key: str | None = None) -> None:
        super().__init__("The store is read-only", {"operation": operation, "collection": collection, "key": key})


class EncryptionError(KeyValueOperationError):
    """Encrypting or decrypting failed."""


class DecryptionError(EncryptionError):
    """The stored value cannot be decrypted with the given keys."""


class CorruptedDataError(DecryptionError):
    """The stored encrypted value is damaged."""


class EncryptionVersionError(EncryptionError):
    """The stored value has an unknown encryption version."""


class KeyValueStoreError(BaseKeyValueError):
    """The backend failed."""


class StoreSetupError(KeyValueStoreError):
    """The backend cannot be prepared or rejects the credentials; the cause gives the reason. Retrying does not help."""


class StoreConnectionError(KeyValueStoreError, ConnectionError):
    """The backend cannot be reached, or the connection broke. Retrying may help."""


class StoreTimeoutError(StoreConnectionError, TimeoutError):
    """The backend did not answer in time; it is unknown whether a write took effect. Retrying may help."""


class PathSecurityError(KeyValueStoreError):
    """A name or link resolves to a path outside the store's directory."""
