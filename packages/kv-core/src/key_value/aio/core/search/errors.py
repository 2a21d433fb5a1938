"""Translation of a server's error responses."""

import re
from collections.abc import Sequence
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors, Meaning, reason_of
from key_value.aio.core.search.driver import Refusal
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError

__all__ = [
    "INDEX_EXISTS",
    "INDEX_MISSING",
    "SEARCH_ERRORS",
    "DocumentsError",
    "IncompleteResponseError",
    "UnexpectedResponseError",
    "connection_loss_reason",
    "meaning_of",
    "raise_refused",
]

INDEX_MISSING = "index_not_found_exception"
INDEX_EXISTS = "resource_already_exists_exception"

_MAX_SHOWN_KEYS = 10
_MAX_SHOWN_KEY_CHARACTERS = 60

_TIMED_OUT = (StoreTimeoutError, "the limit `timeout` was reached")

_INCOMPATIBLE = (StoreSetupError, "the server is a different product or an older version than this client supports")
_NOT_PERMITTED = (StoreSetupError, "these credentials lack a required permission")

_BY_KIND: dict[str, Meaning] = {
    INDEX_MISSING: (StoreSetupError, "there is no such index"),
    "cluster_block_exception": (KeyValueStoreError, "the index or the cluster is blocked for writing"),
    "validation_exception": (StoreSetupError, "the cluster has reached its shard limit (cluster.max_shards_per_node)"),
    "security_exception": _NOT_PERMITTED,
}

_BY_STATUS: dict[int, Meaning] = {
    401: (StoreSetupError, "wrong or missing credentials"),
    403: _NOT_PERMITTED,
    406: _INCOMPATIBLE,
    407: (StoreSetupError, "a proxy requires credentials"),
    408: _TIMED_OUT,
    413: (KeyValueStoreError, "the request exceeds the size limit of the server or of a proxy"),
    415: _INCOMPATIBLE,
    429: (StoreConnectionError, "the server is overloaded, or its disk is full"),
}

_MIN_SERVER_ERROR_STATUS = 500
_ERROR_TYPE = re.compile(r"[a-z_]{1,80}")


class DocumentsError(Exception):
    """Some of the documents of a request were refused."""

    def __init__(self, refused: Sequence[tuple[str, Refusal]], asked: int) -> None:
        super().__init__()
        self.refusal: Refusal = refused[0][1]
        self.asked = asked
        self.keys: list[str] = [key for key, _ in refused]
        """The keys of the refused documents."""

    def __str__(self) -> str:
        shown = ", ".join(repr(f"{key:.{_MAX_SHOWN_KEY_CHARACTERS}}") for key in self.keys[:_MAX_SHOWN_KEYS])
        more = f" and {len(self.keys) - _MAX_SHOWN_KEYS} more" if len(self.keys) > _MAX_SHOWN_KEYS else ""
        return f"{len(self.keys)} of {self.asked} entries were refused, with the keys {shown}{more}"


class IncompleteResponseError(Exception):
    """Some shards of an index did not respond."""


class UnexpectedResponseError(Exception):
    """The response does not come from such a server."""


def meaning_of(refusal: Refusal) -> Meaning:
    status, kind = refusal
    if status in (401, 429):  # for any error type
        return _BY_STATUS[status]
    if kind in _BY_KIND and status < _MIN_SERVER_ERROR_STATUS:
        return _BY_KIND[kind]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    # Anything but such a server, for example a proxy, may send arbitrary text as the error type.
    shown = f"{kind}, status {status}" if _ERROR_TYPE.fullmatch(kind) else f"status {status}"
    if status >= _MIN_SERVER_ERROR_STATUS:
        return StoreConnectionError, f"the server is unavailable ({shown})"
    return KeyValueStoreError, f"the server refuses the request ({shown})"


def raise_refused(keys: Sequence[str], outcomes: Sequence[Refusal | None], ignore: Sequence[int] = ()) -> None:
    """Raise DocumentsError for the documents that were refused, except with the statuses in `ignore`."""
    refused = [
        (key, outcome)
        for key, outcome in zip(keys, outcomes, strict=True)
        if outcome is not None and outcome.status not in ignore
    ]
    if refused:
        raise DocumentsError(refused, len(keys))


def _meaning_of_documents(error: DocumentsError) -> Meaning:
    meaning = meaning_of(error.refusal)
    kind, reason = meaning if isinstance(meaning, tuple) else (meaning, "")
    return kind, f"{error}: {reason}" if error.asked > 1 else str(reason)


def connection_loss_reason(error: BaseException) -> str:
    """Return the operating system's reason for a lost connection."""
    reason = reason_of(error)
    return "the connection was lost" if reason == type(error).__qualname__ else reason


_OWN: dict[type[BaseException], Any] = {
    TimeoutError: _TIMED_OUT,
    DocumentsError: _meaning_of_documents,
    IncompleteResponseError: (StoreConnectionError, "some shards of the index do not respond"),
    UnexpectedResponseError: (StoreSetupError, "the response does not come from such a server"),
}
SEARCH_ERRORS: DriverErrors = _OWN
"""The errors of this package, for the `driver_errors` of a store."""
