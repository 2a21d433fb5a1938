"""What Vault's answers with an error mean."""

from asyncio import TimeoutError as AsyncioTimeoutError
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.vault.transports import Answer, TransportError

__all__ = ["DRIVER_ERRORS", "AnswerError", "is_unavailable", "was_not_done"]

_BAD_REQUEST, _FORBIDDEN, _NOT_FOUND, _NO_SUCH_METHOD, _TOO_LARGE = 400, 403, 404, 405, 413
_BEHIND, _LIMITED = 412, 429
_SERVER_ERROR, _UNAVAILABLE = 500, frozenset({502, 503, 504})


class AnswerError(Exception):
    """An answer that is not what was asked for. Its text shows neither names nor what Vault says."""

    def __init__(self, right: str, answer: Answer) -> None:
        super().__init__(f"Vault answers with status {answer.status} to a request to {right}")
        self.right: str = right
        """What the request needs the right to: a capability of Vault's and the kind of path."""
        self.answer: Answer = answer
        self.is_token_valid: bool = True


def was_not_done(error: AnswerError) -> bool:
    return error.answer.status in (_BEHIND, _LIMITED) or _is_upgrading(error)


def is_unavailable(error: AnswerError) -> bool:
    return error.answer.status in _UNAVAILABLE and not _is_sealed(error)


def _is_upgrading(error: AnswerError) -> bool:
    """For a moment after a secrets engine was mounted, or given versions."""
    return error.answer.status == _BAD_REQUEST and "upgrading" in error.answer.errors.lower()


def _is_sealed(error: AnswerError) -> bool:
    return "sealed" in error.answer.errors.lower()


def _refusal(error: AnswerError) -> str:
    """Why trying again does not help; empty where it may."""
    status, says = error.answer.status, error.answer.errors.lower()
    reasons = {
        f"the token lacks the right to {error.right}": status == _FORBIDDEN and error.is_token_valid,
        "no token was given, or it is not valid, or has run out": status == _FORBIDDEN
        or (status == _BAD_REQUEST and "missing client token" in says),
        "no secrets engine is mounted at the mount point": status == _NOT_FOUND and "no handler" in says,
        "the secrets engine at the mount point is not KV version 2": status == _NO_SUCH_METHOD
        or (status == _NOT_FOUND and "unsupported" in says),
        f"what answers at the URL is not Vault (status {status})": status < _SERVER_ERROR
        and status != _LIMITED
        and not error.answer.body,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _trouble(error: AnswerError) -> str:
    """Why it may work later; empty where it does not."""
    status = error.answer.status
    reasons = {
        "the server limits the rate of requests": status == _LIMITED,
        "the server is sealed": _is_sealed(error),
        "the secrets engine is being upgraded": _is_upgrading(error),
        f"the server answers with status {status}": status == _BEHIND or status >= _SERVER_ERROR,
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _meaning(error: Any) -> Meaning:
    status = error.answer.status
    if status == _TOO_LARGE or "too large" in error.answer.errors:
        return KeyValueStoreError, "the server does not take an entry of this size, or a path of this length"
    if trouble := _trouble(error):
        return StoreConnectionError, trouble
    if refusal := _refusal(error):
        return StoreSetupError, refusal
    return KeyValueStoreError, f"the server refuses to {error.right} (status {status})"


DRIVER_ERRORS: DriverErrors = {
    AnswerError: _meaning,
    TransportError: (StoreConnectionError, lambda error: reason_of(error.__cause__ or error)),
    AsyncioTimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
    TimeoutError: (StoreTimeoutError, "the limit `timeout` was reached"),
}
