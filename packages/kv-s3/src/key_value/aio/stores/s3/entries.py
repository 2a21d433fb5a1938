"""Entries as objects: their text, and metadata for requests that do not read the text."""

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
    "ObjectInfo",
    "StoredEntry",
    "info_of",
    "parameters_of",
    "parse_version",
    "revision_of",
    "tombstone",
    "version_of",
]

# The limit for an object written by one request.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html
MAX_ENTRY_BYTES = 5 * 1024**3

_CREATED_AT, _EXPIRES_AT, _REVISION = "created-at", "expires-at", "revision"

# A version is an ETag in header form, followed by the expiry time if the entry has one.
_CHARACTERS = r"[\x21\x23-\x7b\x7d\x7e]{1,200}"
_VERSION = re.compile(rf'((?:W/)?"{_CHARACTERS}"|{_CHARACTERS})(?:\|([0-9T:.+-]{{1,40}}))?')


class ObjectInfo(NamedTuple):
    """The metadata of an object."""

    etag: str
    is_entry: bool
    """Whether a store wrote the object."""
    expires_at: datetime | None
    revision: str | None

    @property
    def is_live(self) -> bool:
        return self.expires_at is None or self.expires_at > clock.now()


class StoredEntry(NamedTuple):
    """The text of an object with its metadata."""

    text: bytes
    info: ObjectInfo

    def load(self) -> ManagedEntry:
        """Decode the text. Raises DeserializationError if it is not an entry."""
        return load_entry(self.text)


def parameters_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, Any]:
    """Return the PutObject parameters of the entry. Raises ValueTooLargeError if it exceeds the limit."""
    # Without a random revision, two writes of an equal value at the same time would have the same ETag, which is a
    # digest of the text.
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
    """Return the PutObject parameters of an expired entry, which replaces an entry to be deleted."""
    past = clock.now() - timedelta(seconds=1)
    return parameters_of("", "", ManagedEntry(value={}, created_at=past, expires_at=past))


def revision_of(parameters: dict[str, Any]) -> str:
    return parameters["Metadata"][_REVISION]


def info_of(answer: dict[str, Any]) -> ObjectInfo:
    """Return the metadata in an answer to GetObject or HeadObject."""
    metadata: dict[str, str] = answer.get("Metadata") or {}
    is_entry = _parse_time(metadata.get(_CREATED_AT)) is not None
    return ObjectInfo(answer["ETag"], is_entry, _parse_time(metadata.get(_EXPIRES_AT)), metadata.get(_REVISION))


def version_of(entry: StoredEntry, expires_at: datetime | None) -> str:
    etag = entry.info.etag
    return etag if expires_at is None else f"{etag}|{expires_at.isoformat()}"


def parse_version(version: str) -> tuple[str, bool]:
    """Return the ETag, and whether the entry is live. Raises ValueError for an invalid version."""
    found = _VERSION.fullmatch(version)
    expires_at = None if found is None or found[2] is None else _parse_time(found[2])
    if found is None or (found[2] is not None and expires_at is None):
        message = "the version was not returned by a store on S3"
        raise ValueError(message)
    return found[1], expires_at is None or expires_at > clock.now()


def _parse_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
