"""The meaning of the result codes of Aerospike and its client."""

from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

from aerospike import exception

__all__ = ["DRIVER_ERRORS", "FORBIDDEN", "NOT_FOUND", "NO_SERVER", "OK", "error_of_code"]

OK, NOT_FOUND, FORBIDDEN, NO_SERVER = 0, 2, 22, -8

_CLIENT, _SERVER, _PARAMETER, _UNSUPPORTED = -1, 1, -2, 16

# https://github.com/aerospike/aerospike-client-c/blob/master/src/include/aerospike/as_status.h
_MEANINGS: dict[int | None, Meaning] = {
    9: (StoreTimeoutError, "no answer within the time limit"),
    -15: (StoreTimeoutError, "no answer within the time limit"),
    -7: (StoreConnectionError, "the client has reached its connection limit"),
    NO_SERVER: (StoreConnectionError, "no server is left"),
    -10: (StoreConnectionError, "the connection was refused, closed or reset"),
    -12: (StoreConnectionError, "the connection failed repeatedly"),
    -14: (StoreConnectionError, "a server fails too often"),
    7: (StoreConnectionError, "the cluster is changing"),
    11: (StoreConnectionError, "the client is not connected"),
    14: (StoreConnectionError, "too many commands for one record at once"),
    15: (StoreConnectionError, "the server aborted a scan"),
    18: (StoreConnectionError, "a device of the server cannot keep up"),
    210: (StoreConnectionError, "the server aborted a query"),
    211: (StoreConnectionError, "the server has too many queries in progress"),
    212: (StoreTimeoutError, "no answer within the time limit"),
    8: (KeyValueStoreError, "the namespace has no space left"),
    13: (
        KeyValueStoreError,
        "the namespace rejects a record of this size: see its max-record-size and max_record_bytes of the store",
    ),
    20: (StoreSetupError, "there is no namespace with this name"),
    FORBIDDEN: (
        KeyValueStoreError,
        "the namespace does not allow it now, for example because it has stopped writes",
    ),
    _UNSUPPORTED: (StoreSetupError, "the server lacks a feature; Aerospike 6.0 or later is required"),
    -9: (StoreSetupError, "TLS failed"),
    51: (StoreSetupError, "the server does not support users and passwords"),
    52: (StoreSetupError, "users and passwords are disabled on the server"),
    60: (StoreSetupError, "the user is unknown"),
    62: (StoreSetupError, "the password is wrong"),
    63: (StoreSetupError, "the password has expired"),
    65: (StoreSetupError, "the user or the password is wrong"),
    80: (StoreSetupError, "the server requires a user and password"),
    81: (StoreSetupError, "the user lacks the right"),
    82: (StoreSetupError, "the server does not allow this address"),
}

# These generic codes cover many failures; the client's message distinguishes them, and contains no value.
_UNREACHABLE = ("Failed to connect", "Failed to find server", "Peers not reachable", "cluster is empty")


def _meaning(error: Any) -> Meaning:
    code: int | None = error.args[0] if error.args else None
    if code in (_CLIENT, _SERVER) and any(text in str(error) for text in _UNREACHABLE):
        return StoreConnectionError, "no server can be reached"
    if code == _PARAMETER and "not supported" in str(error):
        code = _UNSUPPORTED
    return _MEANINGS.get(code, (KeyValueStoreError, f"the result code is {code}"))


DRIVER_ERRORS: DriverErrors = {exception.AerospikeError: _meaning}


def error_of_code(code: int) -> exception.AerospikeError:
    """Return the driver's exception for a result code that it returned instead of raising."""
    return exception.AerospikeError(code, "returned by the client as a result code")
