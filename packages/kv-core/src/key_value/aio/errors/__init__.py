"""The exceptions of stores, wrappers and adapters.

No message and no `extra_info` ever holds a stored value, a password or a token. A driver's own exception is the
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
    """The root of the tree. `extra_info` holds the facts of the message for a program to read."""

    message: str
    extra_info: ExtraInfoType | None

    def __init__(self, message: str | None = None, extra_info: ExtraInfoType | None = None) -> None:
        self.message = message or "A key-value operation failed"
        self.extra_info = extra_info
        super().__init__(self.message)

    # KeyError and OSError, which some errors also are, have a __str__ of their own.
    def __str__(self) -> str:
        if not self.extra_info:
            return self.message
        facts = ", ".join(f"{name}={fact!r}" for name, fact in self.extra_info.items())
        return f"{self.message} ({facts})"

    # Errors cross process boundaries; subclasses have constructors that the default would call with the message.
    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.extra_info)


class KeyValueOperationError(BaseKeyValueError):
    """The operation failed because of its key or value; the store itself works."""


class SerializationError(KeyValueOperationError, ValueError):
    """JSON cannot hold the value; the message names the path of the offending part. Nothing was stored."""


class DeserializationError(KeyValueOperationError):
    """The data stored under the key is not a complete entry. It stays as it is."""


class InvalidKeyError(KeyValueOperationError):
    """A key or collection is empty, longer than the backend allows, or does not encode to UTF-8."""


_PRINTABLE = 10**18


class InvalidTTLError(KeyValueOperationError):
    """A ttl is not a finite number of seconds above zero that ends before the year 10000."""

    def __init__(self, ttl: Any, extra_info: ExtraInfoType | None = None) -> None:
        message = "A ttl is a finite number of seconds above zero that ends before the year 10000"
        # Python refuses to print an int of more than 4300 digits.
        printable = isinstance(ttl, float) or (isinstance(ttl, int) and abs(ttl) < _PRINTABLE)
        shown = ttl if printable else type(ttl).__name__
        super().__init__(message, {"ttl": shown, **(extra_info or {})})


class MissingKeyError(KeyValueOperationError, KeyError):
    """An entry that was required is absent or expired."""

    def __init__(self, operation: str, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "There is no entry under the key", {"operation": operation, "collection": collection, "key": key}
        )


class ValueTooLargeError(KeyValueOperationError):
    """The backend cannot hold an entry of this size, in bytes."""

    def __init__(self, size: int, max_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The value is larger than the backend can hold",
            {"size": size, "max_size": max_size, "collection": collection, "key": key},
        )


class EntryTooLargeError(KeyValueOperationError):
    """The entry is larger than the configured limit, in bytes."""

    def __init__(self, size: int, max_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The entry is larger than the configured limit",
            {"size": size, "max_size": max_size, "collection": collection, "key": key},
        )


class EntryTooSmallError(KeyValueOperationError):
    """The entry is smaller than the configured limit, in bytes."""

    def __init__(self, size: int, min_size: int, collection: str | None = None, key: str | None = None) -> None:
        super().__init__(
            "The entry is smaller than the configured limit",
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
    """The stored value was encrypted by an unknown version."""


class KeyValueStoreError(BaseKeyValueError):
    """The backend failed, for any operation."""


class StoreSetupError(KeyValueStoreError):
    """The backend cannot be prepared, or refuses the credentials; the cause says why. Retrying does not help."""


class StoreConnectionError(KeyValueStoreError, ConnectionError):
    """The backend cannot be reached, or the connection broke. Retrying may help."""


class StoreTimeoutError(StoreConnectionError, TimeoutError):
    """The backend did not answer in time; it is unknown whether a write took effect. Retrying may help."""


class PathSecurityError(KeyValueStoreError):
    """A name or a link would lead outside the directory that holds the store."""
