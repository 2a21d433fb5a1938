"""Translation of exceptions of Google's client. Imported late, because importing the client takes a second."""

import re
from asyncio import TimeoutError as AsyncioTimeoutError
from typing import Any

from google.api_core import exceptions as api
from google.auth import exceptions as auth
from grpc import aio
from key_value.aio.core.driver_errors import DriverErrors, Meaning
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

__all__ = ["DRIVER_ERRORS", "REJECTED", "is_lost", "is_throttled", "is_unmet"]

REJECTED: tuple[type[Exception], ...] = (api.Conflict, api.FailedPrecondition, api.NotFound)

_NO_DATABASE = re.compile(r"database \S* does not exist")
_NO_SERVICE = re.compile(r"has not been used in project|is disabled|SERVICE_DISABLED")
_NOT_FIRESTORE = "the server is not Firestore"
_STATUS = re.compile(r"http2 header with status: (\d+)")
# Phrases of gRPC → reasons to show. The full text of gRPC contains addresses.
_REASONS = {
    "connection refused": "connection refused",
    "dns resolution failed": "unknown host",
    "domain name not found": "unknown host",
    "name or service not known": "unknown host",
    "certificate_verify_failed": "the certificate was refused",
    "handshake failed": "the TLS handshake failed",
    "connection reset": "connection reset by peer",
    "socket closed": "the connection was closed",
    "no route to host": "no route to host",
    "network is unreachable": "network is unreachable",
}
_CERTIFICATE = _REASONS["certificate_verify_failed"]
_TOKEN = "metadata from plugin failed"  # noqa: S105 — a phrase of gRPC


def is_unmet(error: Exception) -> bool:
    """Whether an error in REJECTED means that a condition was not met."""
    return _NO_DATABASE.search(str(error)) is None


def is_throttled(error: Exception) -> bool:
    """Whether the service certainly did not execute the request, and may on retry."""
    if isinstance(error, api.ResourceExhausted):
        # A message that is too long fails again.
        return "larger than max" not in str(error) and "exceeds maximum size" not in str(error)
    return isinstance(error, api.Aborted)


def is_lost(error: Exception) -> bool:
    """Whether it is unknown if the service executed the request."""
    return isinstance(error, (api.ServiceUnavailable, api.InternalServerError, api.Unknown))


def _denied(error: Any) -> Meaning:
    if _NO_SERVICE.search(str(error)):
        return StoreSetupError, "the Firestore API is not enabled in the project"
    return StoreSetupError, "these credentials lack the right permissions"


def _missing(error: Any) -> Meaning:
    return _rejected(error) if is_unmet(error) else (StoreSetupError, "there is no such database in the project")


def _unmet(error: Any) -> Meaning:
    text = str(error).lower()
    if "datastore mode" in text:
        return StoreSetupError, "the database is in Datastore mode, not in native mode"
    if "index" in text:
        return StoreSetupError, "the field `expires_at` has no index, because it was exempted from indexing"
    return _rejected(error)


def _rejected(error: Any) -> Meaning:
    code: Any = error.grpc_status_code
    return KeyValueStoreError, f"the service rejects the request ({'unknown' if code is None else code.name})"


def _failed(error: Any) -> Meaning:
    text = str(error)
    if _STATUS.search(text):
        return StoreSetupError, _NOT_FIRESTORE
    if _TOKEN in text:
        kind = StoreSetupError if "invalid_grant" in text else StoreConnectionError
        return kind, "the credentials could not be refreshed"
    lowered = text.lower()
    reason = next((reason for phrase, reason in _REASONS.items() if phrase in lowered), "the service is unavailable")
    return StoreSetupError if reason is _CERTIFICATE else StoreConnectionError, reason


DRIVER_ERRORS: DriverErrors = {
    api.GoogleAPIError: KeyValueStoreError,
    # Their texts are not shown, because they contain names of documents.
    api.GoogleAPICallError: _rejected,
    api.NotFound: _missing,
    api.FailedPrecondition: _unmet,
    api.PermissionDenied: _denied,
    api.Unauthenticated: (StoreSetupError, "the credentials were refused"),
    api.Aborted: (StoreConnectionError, "too many concurrent writes to the same document"),
    api.ResourceExhausted: (
        StoreConnectionError,
        "the service limits the rate of requests, or the quota is used up",
    ),
    api.Cancelled: _failed,
    api.ServerError: _failed,
    api.MethodNotImplemented: (StoreSetupError, _NOT_FIRESTORE),
    api.DeadlineExceeded: (StoreTimeoutError, "the service exceeded its own limit"),
    auth.GoogleAuthError: (StoreSetupError, "the credentials cannot be used"),
    auth.DefaultCredentialsError: (
        StoreSetupError,
        "no credentials were given, and none were found on this machine",
    ),
    auth.RefreshError: (StoreSetupError, "the credentials could not be refreshed"),
    auth.TransportError: (StoreConnectionError, "the token service cannot be reached"),
    aio.UsageError: (
        StoreSetupError,
        "the client passed to the store has been closed, or belongs to another event loop",
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}
