"""What the exceptions of azure-core mean."""

import json
import re
from asyncio import TimeoutError as AsyncioTimeoutError
from contextlib import suppress
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

__all__ = [
    "DRIVER_ERRORS",
    "RefusedError",
    "UnansweredError",
    "is_absent",
    "is_changed",
    "is_conflict",
    "is_unavailable",
    "meant_by",
    "was_not_done",
]

_CODE = re.compile(r"[A-Za-z]{1,80}")
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TIMEOUT, _CONFLICT, _UNMET = 401, 403, 404, 408, 409, 412
_ERROR, _LIMITED, _SERVER_ERROR = 400, 429, 500

_BEING_DELETED = "TableBeingDeleted"
# Of a 503 without the code, a proxy may have lost the answer.
_NOT_DONE = frozenset({_BEING_DELETED, "ServerBusy"})
# Other services answer with 404 as well, to whatever they do not know.
_ABSENT = frozenset({"EntityNotFound", "ResourceNotFound"})

_WRONG_KEY = "wrong account key, or a shared access signature that is not valid or has run out"

_MEANINGS: dict[str, Meaning] = {
    "AuthenticationFailed": (StoreSetupError, _WRONG_KEY),
    "AuthorizationFailure": (StoreSetupError, _WRONG_KEY),
    "AuthorizationPermissionMismatch": (StoreSetupError, "the credential lacks a right"),
    "AuthorizationResourceTypeMismatch": (StoreSetupError, "the shared access signature lacks a right"),
    "InvalidAuthenticationInfo": (StoreSetupError, "no credential where one is required, or one that has run out"),
    "NoAuthenticationInformation": (StoreSetupError, "no credential where one is required"),
    "TableNotFound": (StoreSetupError, "there is no such table"),
    "AccountIsDisabled": (StoreSetupError, "the account is disabled"),
    _BEING_DELETED: (StoreConnectionError, "the table is being deleted"),
}


class RefusedError(Exception):
    """An answer with an error. Its text is not shown: it may hold names."""

    def __init__(self, error: Any) -> None:
        self.status: int = error.status_code
        self.code: str = _code_of(error)
        super().__init__(f"Azure answers with status {self.status} ({self.code})")


class UnansweredError(Exception):
    """There is no whole answer; the cause says why, or the text."""


class CredentialError(Exception):
    """An object that was passed in gives neither a token nor a signature."""


class UnreadableError(Exception):
    """The client fails otherwise, as over an answer that is none of Azure's. Its text may show the answer."""


def _code_of(error: Any) -> str:
    code = getattr(error, "error_code", None)
    if code is None:
        # The client does not look for it where it creates an entity.
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            code = json.loads(error.response.text())["odata.error"]["code"]
    return str(getattr(code, "value", code) or "")


def meant_by(error: Exception, *, is_closed: bool) -> Exception:
    """What is raised in place of an exception of the client; `is_closed` says that its connections are no more."""
    from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

    # The client looks for the code of an error in an answer that it may not have.
    known = error.__context__ if isinstance(error, AttributeError) else error
    status: int | None = getattr(known, "status_code", None)
    if isinstance(known, ClientAuthenticationError) and status not in (_UNAUTHORIZED, _FORBIDDEN):
        return CredentialError()
    if isinstance(known, HttpResponseError) and status is not None:
        return RefusedError(known)
    if isinstance(known, AzureError):
        return UnansweredError(type(known).__qualname__)
    return UnansweredError("the client was closed") if is_closed else UnreadableError()


def is_absent(error: RefusedError) -> bool:
    return error.status == _NOT_FOUND and error.code in _ABSENT


def is_changed(error: RefusedError) -> bool:
    """Whether the entity has another ETag, or is not there."""
    return error.status == _UNMET or is_absent(error)


def is_conflict(error: RefusedError) -> bool:
    """Whether there is one already."""
    return error.status == _CONFLICT and error.code != _BEING_DELETED


def was_not_done(error: RefusedError) -> bool:
    return error.status == _LIMITED or error.code in _NOT_DONE


def is_unavailable(error: RefusedError) -> bool:
    return error.status >= _SERVER_ERROR or error.status == _TIMEOUT


def _meaning(error: Any) -> Meaning:
    if error.code in _MEANINGS:
        return _MEANINGS[error.code]
    if error.status in (_UNAUTHORIZED, _FORBIDDEN):
        return StoreSetupError, f"the credential is refused (status {error.status})"
    if was_not_done(error):
        return StoreConnectionError, f"the service limits the rate of requests (status {error.status})"
    if is_unavailable(error):
        return StoreConnectionError, f"the service answers with status {error.status}"
    if error.status < _ERROR:
        return KeyValueStoreError, f"what answers is no table service (status {error.status})"
    code = error.code if _CODE.fullmatch(error.code) else f"status {error.status}"
    return KeyValueStoreError, f"the service refuses a request ({code})"


def _reason_of_silence(error: BaseException) -> str:
    return str(error) if error.__cause__ is None else reason_of(error.__cause__)


DRIVER_ERRORS: DriverErrors = {
    RefusedError: _meaning,
    UnansweredError: (StoreConnectionError, _reason_of_silence),
    CredentialError: (StoreSetupError, "the credential gives no token and no signature"),
    UnreadableError: (
        KeyValueStoreError,
        lambda error: f"the client cannot send a request or read an answer ({type(error.__cause__).__qualname__})",
    ),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}
