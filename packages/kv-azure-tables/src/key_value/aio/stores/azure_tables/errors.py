"""Translation of azure-core's exceptions."""

import json
import re
from asyncio import TimeoutError as AsyncioTimeoutError
from contextlib import suppress
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

__all__ = [
    "DRIVER_ERRORS",
    "ErrorResponseError",
    "NoResponseError",
    "is_absent",
    "is_changed",
    "is_conflict",
    "is_unavailable",
    "translate_error",
    "was_not_executed",
]

_CODE = re.compile(r"[A-Za-z]{1,80}")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TIMEOUT, _CONFLICT, _PRECONDITION_FAILED = 401, 403, 404, 408, 409, 412
_FIRST_ERROR, _TOO_MANY_REQUESTS, _SERVER_ERROR = 400, 429, 500

_BEING_DELETED = "TableBeingDeleted"
# Error codes of requests that were not executed. A 503 without such a code may come from a proxy, after execution.
_NOT_DONE = frozenset({_BEING_DELETED, "ServerBusy"})
# A 404 without one of these codes may come from another service.
_ABSENT = frozenset({"EntityNotFound", "ResourceNotFound"})

_WRONG_KEY = "wrong account key, or an invalid or expired shared access signature"

_MEANINGS: dict[str, Meaning] = {
    "AuthenticationFailed": (StoreSetupError, _WRONG_KEY),
    "AuthorizationFailure": (StoreSetupError, _WRONG_KEY),
    "AuthorizationPermissionMismatch": (StoreSetupError, "the credential lacks a right"),
    "AuthorizationResourceTypeMismatch": (StoreSetupError, "the shared access signature lacks a right"),
    "InvalidAuthenticationInfo": (StoreSetupError, "missing or expired credential"),
    "NoAuthenticationInformation": (StoreSetupError, "missing credential"),
    "TableNotFound": (StoreSetupError, "there is no such table"),
    "AccountIsDisabled": (StoreSetupError, "the account is disabled"),
    _BEING_DELETED: (StoreConnectionError, "the table is being deleted"),
}


class ErrorResponseError(Exception):
    """An error response. Its text is not shown, because it may contain names."""

    def __init__(self, error: Any) -> None:
        self.status: int = error.status_code
        self.code: str = _code_of(error)
        super().__init__(f"Azure responded with status {self.status} ({self.code})")


class NoResponseError(Exception):
    """No complete response was received. The cause or the text is the reason."""


class CredentialError(Exception):
    """A credential object passed to the store provides neither a token nor a signature."""


class ClientError(Exception):
    """Any other client error, such as for a response not from Azure. Its text may contain the response."""


def _code_of(error: Any) -> str:
    code = getattr(error, "error_code", None)
    if code is None:
        # When creating an entity, the client does not parse the code.
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            code = json.loads(error.response.text())["odata.error"]["code"]
    return str(getattr(code, "value", code) or "")


def translate_error(error: Exception, *, is_closed: bool) -> Exception:
    """Return the exception to raise instead of the client's. `is_closed` is whether the client was closed."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    # The client raises AttributeError for an error without a response, while looking for the error code.
    source = error.__context__ if isinstance(error, AttributeError) else error
    status: int | None = getattr(source, "status_code", None)
    if isinstance(source, ClientAuthenticationError) and status not in (_UNAUTHORIZED, _FORBIDDEN):
        return CredentialError()
    if isinstance(source, HttpResponseError) and status is not None:
        return ErrorResponseError(source)
    if isinstance(source, AzureError):
        return NoResponseError(type(source).__qualname__)
    return NoResponseError("the client was closed") if is_closed else ClientError()


def is_absent(error: ErrorResponseError) -> bool:
    return error.status == _NOT_FOUND and error.code in _ABSENT


def is_changed(error: ErrorResponseError) -> bool:
    """Whether the entity has another ETag or does not exist."""
    return error.status == _PRECONDITION_FAILED or is_absent(error)


def is_conflict(error: ErrorResponseError) -> bool:
    """Whether the entity or table exists already."""
    return error.status == _CONFLICT and error.code != _BEING_DELETED


def was_not_executed(error: ErrorResponseError) -> bool:
    return error.status == _TOO_MANY_REQUESTS or error.code in _NOT_DONE


def is_unavailable(error: ErrorResponseError) -> bool:
    return error.status >= _SERVER_ERROR or error.status == _TIMEOUT


def _meaning(error: Any) -> Meaning:
    if error.code in _MEANINGS:
        return _MEANINGS[error.code]
    if error.status in (_UNAUTHORIZED, _FORBIDDEN):
        return StoreSetupError, f"the credential was rejected (status {error.status})"
    if was_not_executed(error):
        return StoreConnectionError, f"the service limits the rate of requests (status {error.status})"
    if is_unavailable(error):
        return StoreConnectionError, f"the service responded with status {error.status}"
    if error.status < _FIRST_ERROR:
        return KeyValueStoreError, f"the server is not a table service (status {error.status})"
    code = error.code if _CODE.fullmatch(error.code) else f"status {error.status}"
    return KeyValueStoreError, f"the service rejected the request ({code})"


def _no_response_reason(error: BaseException) -> str:
    return str(error) if error.__cause__ is None else reason_of(error.__cause__)


DRIVER_ERRORS: DriverErrors = {
    ErrorResponseError: _meaning,
    NoResponseError: (StoreConnectionError, _no_response_reason),
    CredentialError: (StoreSetupError, "the credential gives no token and no signature"),
    ClientError: (
        KeyValueStoreError,
        lambda error: f"the client cannot send the request or read the response ({type(error.__cause__).__qualname__})",
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}
