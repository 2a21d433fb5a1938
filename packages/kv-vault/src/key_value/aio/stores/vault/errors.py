"""The meaning of Vault's error responses."""

from asyncio import TimeoutError as AsyncioTimeoutError
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.vault.transports import Answer, TransportError

__all__ = ["DRIVER_ERRORS", "AnswerError", "is_unavailable", "was_not_executed"]

_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _METHOD_NOT_ALLOWED, _TOO_LARGE = 400, 403, 404, 405, 413
_NOT_YET_REPLICATED, _RATE_LIMITED = 412, 429
_SERVER_ERROR, _UNAVAILABLE = 500, frozenset({502, 503, 504})


class AnswerError(Exception):
    """An unexpected response. The message shows neither names nor Vault's own text."""

    def __init__(self, right: str, answer: Answer) -> None:
        super().__init__(f"Vault answers with status {answer.status} to a request to {right}")
        self.right: str = right
        """The right that the request needs: a Vault capability and the kind of path."""
        self.answer: Answer = answer
        self.is_token_valid: bool = True


def was_not_executed(error: AnswerError) -> bool:
    return error.answer.status in (_NOT_YET_REPLICATED, _RATE_LIMITED) or _is_upgrading(error)


def is_unavailable(error: AnswerError) -> bool:
    return error.answer.status in _UNAVAILABLE and not _is_sealed(error)


def _is_upgrading(error: AnswerError) -> bool:
    """Whether the secrets engine was mounted, or upgraded to version 2, a moment ago."""
    return error.answer.status == _BAD_REQUEST and "upgrading" in error.answer.errors.lower()


def _is_sealed(error: AnswerError) -> bool:
    return "sealed" in error.answer.errors.lower()


def _permanent_reason(error: AnswerError) -> str:
    """Return the reason why a retry does not help; empty if it may help."""
    status, says = error.answer.status, error.answer.errors.lower()
    reasons = {
        f"the token lacks the right to {error.right}": status == _FORBIDDEN and error.is_token_valid,
        "the token is missing, invalid or has expired": status == _FORBIDDEN
        or (status == _BAD_REQUEST and "missing client token" in says),
        "no secrets engine is mounted at the mount point": status == _NOT_FOUND and "no handler" in says,
        "the secrets engine at the mount point is not KV version 2": status == _METHOD_NOT_ALLOWED
        or (status == _NOT_FOUND and "unsupported" in says),
        f"the server at the URL is not Vault (status {status})": status < _SERVER_ERROR
        and status != _RATE_LIMITED
        and not error.answer.body,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _temporary_reason(error: AnswerError) -> str:
    """Return the reason of a temporary failure; empty if it is not temporary."""
    status = error.answer.status
    reasons = {
        "the server limits the rate of requests": status == _RATE_LIMITED,
        "the server is sealed": _is_sealed(error),
        "the secrets engine is being upgraded": _is_upgrading(error),
        f"the server answers with status {status}": status == _NOT_YET_REPLICATED or status >= _SERVER_ERROR,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _meaning(error: Any) -> Meaning:
    status = error.answer.status
    if status == _TOO_LARGE or "too large" in error.answer.errors:
        return KeyValueStoreError, "the server rejects an entry of this size, or a path of this length"
    if temporary_reason := _temporary_reason(error):
        return StoreConnectionError, temporary_reason
    if permanent_reason := _permanent_reason(error):
        return StoreSetupError, permanent_reason
    return KeyValueStoreError, f"the server refuses to {error.right} (status {status})"


DRIVER_ERRORS: DriverErrors = {
    AnswerError: _meaning,
    TransportError: (StoreConnectionError, lambda error: reason_of(error.__cause__ or error)),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}
