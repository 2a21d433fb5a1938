"""What the refusals of a server mean."""

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
    "IncompleteAnswerError",
    "StrangeAnswerError",
    "lost_reason",
    "meaning_of",
    "raise_refused",
]

INDEX_MISSING = "index_not_found_exception"
INDEX_EXISTS = "resource_already_exists_exception"

_MOST_SHOWN = 10
_LONGEST_SHOWN = 60

_SECONDS = (StoreTimeoutError, "the limit `timeout` was reached")

_ANOTHER_PRODUCT = (StoreSetupError, "the server is another product than this client speaks to, or an older version")

_BY_KIND: dict[str, Meaning] = {
    INDEX_MISSING: (StoreSetupError, "there is no such index"),
    "cluster_block_exception": (KeyValueStoreError, "the index, or the cluster, is blocked for writing"),
    "validation_exception": (StoreSetupError, "the cluster has as many shards as it may (cluster.max_shards_per_node)"),
    "security_exception": (StoreSetupError, "these credentials lack a right that it needs"),
}

_BY_STATUS: dict[int, Meaning] = {
    401: (StoreSetupError, "wrong credentials, or none where some are required"),
    403: (StoreSetupError, "these credentials lack a right that it needs"),
    406: _ANOTHER_PRODUCT,
    407: (StoreSetupError, "a proxy asks for credentials"),
    408: _SECONDS,
    413: (KeyValueStoreError, "the request is larger than the server, or a proxy before it, takes"),
    415: _ANOTHER_PRODUCT,
    429: (StoreConnectionError, "the server is asked for more than it can do now, or its disk is full"),
}

_SERVER_ERROR = 500
_KIND = re.compile(r"[a-z_]{1,80}")


class DocumentsError(Exception):
    """Some of the documents of a request were refused."""

    def __init__(self, refused: Sequence[tuple[str, Refusal]], asked: int) -> None:
        super().__init__()
        self.refusal: Refusal = refused[0][1]
        self.asked = asked
        self.keys: list[str] = [key for key, _ in refused]
        """Those that were refused."""

    def __str__(self) -> str:
        shown = ", ".join(repr(f"{key:.{_LONGEST_SHOWN}}") for key in self.keys[:_MOST_SHOWN])
        more = f" and {len(self.keys) - _MOST_SHOWN} more" if len(self.keys) > _MOST_SHOWN else ""
        return f"{len(self.keys)} of {self.asked} entries were refused, those of the keys {shown}{more}"


class IncompleteAnswerError(Exception):
    """A part of an index did not answer."""


class StrangeAnswerError(Exception):
    """It is no answer of such a server."""


def meaning_of(refusal: Refusal) -> Meaning:
    status, kind = refusal
    if status in (401, 429):  # whatever it is called
        return _BY_STATUS[status]
    if kind in _BY_KIND and status < _SERVER_ERROR:
        return _BY_KIND[kind]
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    # What is no server of this kind, such as a proxy, answers with words.
    shown = f"{kind}, status {status}" if _KIND.fullmatch(kind) else f"status {status}"
    if status >= _SERVER_ERROR:
        return StoreConnectionError, f"the server cannot do it now ({shown})"
    return KeyValueStoreError, f"the server refuses the request ({shown})"


def raise_refused(keys: Sequence[str], outcomes: Sequence[Refusal | None], but: Sequence[int] = ()) -> None:
    refused = [
        (key, outcome)
        for key, outcome in zip(keys, outcomes, strict=True)
        if outcome is not None and outcome.status not in but
    ]
    if refused:
        raise DocumentsError(refused, len(keys))


def _meaning_of_documents(error: DocumentsError) -> Meaning:
    meaning = meaning_of(error.refusal)
    kind, reason = meaning if isinstance(meaning, tuple) else (meaning, "")
    return kind, f"{error}: {reason}" if error.asked > 1 else str(reason)


def lost_reason(error: BaseException) -> str:
    """What the operating system says, of a connection that was lost."""
    reason = reason_of(error)
    return "the connection was lost" if reason == type(error).__qualname__ else reason


_OWN: dict[type[BaseException], Any] = {
    TimeoutError: _SECONDS,
    DocumentsError: _meaning_of_documents,
    IncompleteAnswerError: (StoreConnectionError, "a part of the index does not answer"),
    StrangeAnswerError: (StoreSetupError, "what answers is no such server"),
}
SEARCH_ERRORS: DriverErrors = _OWN
"""For the table of a store, beside its driver's own."""
