"""Translation of pymongo's exceptions."""

import os
import re
from typing import Any

from bson.errors import BSONError
from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from pymongo import errors

__all__ = ["DRIVER_ERRORS", "ForeignLoopError", "RefusedWriteError"]


class RefusedWriteError(Exception):
    """The server rejected part of a batch. Replaces pymongo's exception, whose text contains the documents."""

    def __init__(self, code: Any) -> None:
        super().__init__(f"the server rejected a write of the batch (code {code})")
        self.code: Any = code


class ForeignLoopError(Exception):
    """The caller's client belongs to another event loop."""


_CREDENTIALS = (StoreSetupError, "wrong user name or password, or missing credentials")
_PERMISSION = (StoreSetupError, "this user lacks a right: grant the role readWrite on the database")
_STOPPING = (StoreConnectionError, "the server is starting, stopping or recovering")
_NO_PRIMARY = (StoreConnectionError, "the server is not the primary, as during an election")
_BUSY = (StoreConnectionError, "the server limits the rate of requests")

# https://www.mongodb.com/docs/manual/reference/error-codes/
_CODES: dict[int, Meaning] = {
    11: _CREDENTIALS,
    13: _PERMISSION,
    18: _CREDENTIALS,
    50: (StoreTimeoutError, "the server did not finish within the limit `timeout`"),
    73: (StoreSetupError, "the server rejects the name of the database or collection"),
    91: _STOPPING,
    112: (StoreConnectionError, "conflict with another write"),
    121: (KeyValueStoreError, "a validation rule of the collection rejects the document"),
    189: _NO_PRIMARY,
    8000: _CREDENTIALS,
    10107: _NO_PRIMARY,
    11000: (KeyValueStoreError, "another document has the key as its _id, or a unique index rejects the document"),
    11600: _STOPPING,
    11602: _NO_PRIMARY,
    13435: _NO_PRIMARY,
    13436: _STOPPING,
    16500: _BUSY,
    14031: (KeyValueStoreError, "the server's disk is full"),
}


def _meaning_of_code(error: Any) -> Meaning:
    code = error.code
    if code in _CODES:
        return _CODES[code]
    if getattr(error, "timeout", False):
        return _TIMEOUT
    return KeyValueStoreError, f"the server rejects the command (code {code})"


_TIMEOUT: Meaning = (StoreTimeoutError, "no answer within the limit `timeout`")

_REASONS = {
    r"certificate verify failed|certificate is not valid": (StoreSetupError, "the certificate was refused"),
    r"\bSSL\b|TLSV1|WRONG_VERSION_NUMBER": (StoreSetupError, "the server and this client do not agree on TLS"),
    r"\[Errno -\d+\]|nodename nor servname|Name or service|getaddrinfo failed": (StoreConnectionError, "unknown host"),
    r"No replica set members|replica set name": (StoreSetupError, "no server of this replica set answers"),
}
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def _meaning_of_connection(error: Any) -> Meaning:
    # The reasons that the monitors found for each server are only in the text.
    text = str(error)
    for pattern, meaning in _REASONS.items():
        if re.search(pattern, text):
            return meaning
    number = _ERRNO.search(text)
    if number is not None:
        return StoreConnectionError, os.strerror(int(number[1])).lower()
    if error.timeout:
        return _TIMEOUT
    reason = reason_of(error)
    return StoreConnectionError, "the connection was closed" if reason == type(error).__qualname__ else reason


def _meaning_of_configuration(error: Any) -> Meaning:
    text = str(error)
    if re.search(r"DNS|resolution|nameserver", text, re.IGNORECASE):
        return StoreConnectionError, "the DNS records of the host name were not found (mongodb+srv)"
    if "wire version" in text:
        return StoreSetupError, "the server is too old for this version of pymongo"
    return StoreSetupError, "pymongo rejects these options"


DRIVER_ERRORS: DriverErrors = {
    errors.PyMongoError: lambda error: _TIMEOUT if error.timeout else KeyValueStoreError,
    errors.ConnectionFailure: _meaning_of_connection,
    errors.NotPrimaryError: _NO_PRIMARY,
    errors.WaitQueueTimeoutError: (StoreTimeoutError, "no connection was free within the limit `timeout`"),
    errors.OperationFailure: _meaning_of_code,
    errors.ExecutionTimeout: _CODES[50],
    errors.WTimeoutError: (StoreTimeoutError, "the write concern was not met in time"),
    errors.WriteConcernError: (StoreConnectionError, "the write concern was not met"),
    errors.CursorNotFound: (StoreConnectionError, "the server closed the cursor during the request"),
    errors.ConfigurationError: _meaning_of_configuration,
    errors.InvalidName: (StoreSetupError, "pymongo rejects the name of the database or collection"),
    errors.InvalidOperation: (StoreSetupError, "the client passed to the store has been closed"),
    RefusedWriteError: _meaning_of_code,
    ForeignLoopError: (StoreSetupError, "the client passed to the store belongs to another event loop"),
    BSONError: (DeserializationError, "a stored document is not BSON"),
}
