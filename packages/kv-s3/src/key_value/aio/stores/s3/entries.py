"""An entry as an object: its text, and the metadata that tell of it without reading it."""

import re
from datetime import datetime, timedelta
from os import urandom
from typing import Any, NamedTuple

from key_value.aio.core import clock
from key_value.aio.core.codec import dump_fields
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import ValueTooLargeError

__all__ = [
    "MAX_ENTRY_BYTES",
    "Seen",
    "StoredEntry",
    "parameters_of",
    "parse_version",
    "revision_of",
    "seen",
    "tombstone",
    "version_of",
]

# Of an object that is written by one request.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
MAX_ENTRY_BYTES = 5 * 1024**3

_CREATED_AT, _EXPIRES_AT, _REVISION = "created-at", "expires-at", "revision"

# An ETag as a header holds it, and in ours when the entry expires.
_CHARACTERS = r"[\x21\x23-\x7b\x7d\x7e]{1,200}"
_VERSION = re.compile(rf'((?:W/)?"{_CHARACTERS}"|{_CHARACTERS})(?:\|([0-9T:.+-]{{1,40}}))?')


class Seen(NamedTuple):
    """What is known of an object that was looked at, and perhaps not read."""

    etag: str
    is_entry: bool
    """Whether it bears the marks of an entry that a store wrote."""
    expires_at: datetime | None
    revision: str | None

    @property
    def is_live(self) -> bool:
        return self.expires_at is None or self.expires_at > clock.now()


class StoredEntry(NamedTuple):
    """The text of an object, and what a look at it tells."""

    text: bytes
    seen: Seen

    def load(self) -> ManagedEntry:
        """Raises DeserializationError."""
        return load_entry(self.text)


def parameters_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, Any]:
    """What a request to write the entry says. Raises ValueTooLargeError."""
    # Without it, two writes of an equal value at the same moment would have the same ETag, a digest of the text.
    revision = urandom(8).hex()
    fields: dict[str, Any] = {"version": 1, _REVISION: revision}
    if entry.collection is not None and entry.key is not None:
        fields |= {"collection": entry.collection, "key": entry.key}
    metadata = {_REVISION: revision}
    if entry.created_at is not None:
        fields["created_at"] = entry.created_at
        metadata[_CREATED_AT] = entry.created_at.isoformat()
    if entry.expires_at is not None:
        fields["expires_at"] = entry.expires_at
        metadata[_EXPIRES_AT] = entry.expires_at.isoformat()
    text = dump_fields(fields, entry.encoded)
    if len(text) > MAX_ENTRY_BYTES:
        raise ValueTooLargeError(len(text), MAX_ENTRY_BYTES, collection, key)
    return {"Body": text, "ContentType": "application/json", "Metadata": metadata}


def tombstone() -> dict[str, Any]:
    """What a request says to put an entry that has expired in place of one that is to be deleted."""
    past = clock.now() - timedelta(seconds=1)
    return parameters_of("", "", ManagedEntry(value={}, created_at=past, expires_at=past))


def revision_of(parameters: dict[str, Any]) -> str:
    return parameters["Metadata"][_REVISION]


def seen(answer: dict[str, Any]) -> Seen:
    """What the answer to GetObject or HeadObject tells."""
    metadata: dict[str, str] = answer.get("Metadata") or {}
    is_entry = _moment(metadata.get(_CREATED_AT)) is not None
    return Seen(answer["ETag"], is_entry, _moment(metadata.get(_EXPIRES_AT)), metadata.get(_REVISION))


def version_of(entry: StoredEntry, expires_at: datetime | None) -> str:
    etag = entry.seen.etag
    return etag if expires_at is None else f"{etag}|{expires_at.isoformat()}"


def parse_version(version: str) -> tuple[str, bool]:
    """The ETag, and whether the entry that has it is live. Raises ValueError for what is no version."""
    found = _VERSION.fullmatch(version)
    expires_at = None if found is None or found[2] is None else _moment(found[2])
    if found is None or (found[2] is not None and expires_at is None):
        message = "the version is none that an entry of this bucket can have"
        raise ValueError(message)
    return found[1], expires_at is None or expires_at > clock.now()


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
