"""Entries as documents, in the format of `py-key-value-aio`, with an additional field for TTL policies."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import entry_of_fields, load_moment
from key_value.aio.errors import DeserializationError, ValueTooLargeError

__all__ = [
    "EXPIRES_AT",
    "IDENTIFYING_FIELDS",
    "MAX_DOCUMENT_BYTES",
    "Condition",
    "Found",
    "Path",
    "Write",
    "checked_fields",
    "parse_version",
]

# https://firebase.google.com/docs/firestore/quotas#collections_documents_and_fields
MAX_DOCUMENT_BYTES = 1024**2
_MAX_TEXT_BYTES = MAX_DOCUMENT_BYTES - 89

_VERSION, _CREATED_AT, _VALUE, _KEY, _COLLECTION = "version", "created_at", "value", "key", "collection"
EXPIRES_AT = "expires_at"
# For the user's TTL policy, which needs a timestamp: `expires_at` is a string.
_TTL = "ttl"

IDENTIFYING_FIELDS = (_VERSION, _CREATED_AT, EXPIRES_AT, _KEY, _COLLECTION)
"""The fields that identify a document as an entry, without its value."""

_VERSION_TEXT = re.compile(r"([0-9]{1,11}\.[0-9]{9})(?:\|([0-9T:.+-]{1,40}))?")

# https://firebase.google.com/docs/firestore/storage-size
_NAME_BYTES = 16
_DOCUMENT_BYTES = 32
_NUMBER_BYTES = 8

Condition = bool | str | None
"""The condition of a write: time of the last write, or whether the document exists. None for no condition."""


class Path(NamedTuple):
    """The path of a document in its database: collection id and document id."""

    collection: str
    key: str

    @property
    def size(self) -> int:
        return _text_size(self.collection) + _text_size(self.key) + _NAME_BYTES


class Write(NamedTuple):
    """Replaces a document, or deletes it if there are no fields."""

    path: Path
    fields: Mapping[str, str | int | datetime] | None = None
    condition: Condition = None

    @property
    def size(self) -> int:
        return self.path.size + (0 if self.fields is None else _size(self.fields))


class Found(NamedTuple):
    """A document as read, possibly without its value."""

    path: Path
    fields: Mapping[str, Any]
    updated_at: str

    @property
    def entry(self) -> ManagedEntry:
        """The entry. Raises DeserializationError if the document is not an entry."""
        value = self.fields.get(_VALUE)
        if type(value) is not str:
            message = f"the stored document has no string field {_VALUE!r}"
            raise DeserializationError(message)
        return entry_of_fields(dict(self.fields), value, {})

    @property
    def key(self) -> str | None:
        """The key, if it is stored because it cannot be derived from the id."""
        return self._text(_KEY)

    @property
    def collection(self) -> str | None:
        """The collection, if it is stored because it cannot be derived from the id."""
        return self._text(_COLLECTION)

    @property
    def expires_at(self) -> str | None:
        return self._text(EXPIRES_AT)

    @property
    def looks_like_entry(self) -> bool:
        """Whether it looks like an entry, even if read without its value."""
        return self.fields.get(_VERSION) == 1 and _moment(self._text(_CREATED_AT)) is not None

    @property
    def is_entry(self) -> bool:
        """Whether a store has written the document, which must have been read with its value."""
        return self.looks_like_entry and self._text(_VALUE) is not None

    @property
    def has_expired(self) -> bool:
        expires_at = _moment(self.expires_at)
        return expires_at is not None and expires_at <= clock.now()

    @property
    def version(self) -> str:
        """Server time of the write, and expiry, which write conditions of Firestore do not check."""
        return self.updated_at if self.expires_at is None else f"{self.updated_at}|{self.expires_at}"

    def _text(self, name: str) -> str | None:
        text = self.fields.get(name)
        return text if type(text) is str else None


def parse_version(version: str) -> tuple[str, bool]:
    """Return the write time in a version, and whether the entry is live. Raises ValueError if malformed."""
    found = _VERSION_TEXT.fullmatch(version)
    expires_at = None if found is None else _moment(found[2])
    if found is None or (found[2] is not None and expires_at is None):
        message = "the version does not come from a document in Firestore"
        raise ValueError(message)
    return found[1], expires_at is None or expires_at > clock.now()


def checked_fields(
    path: Path, entry: ManagedEntry, *, id_names_collection: bool, id_names_key: bool
) -> dict[str, str | int | datetime]:
    """Return the fields of the document, including names that cannot be derived from the path.

    Raises ValueTooLargeError for a document that Firestore would reject.
    """
    fields: dict[str, str | int | datetime] = {_VERSION: 1, _VALUE: entry.value_as_json}
    if entry.created_at is not None:
        fields[_CREATED_AT] = entry.created_at.isoformat()
    if entry.expires_at is not None:
        fields[EXPIRES_AT] = entry.expires_at.isoformat()
        fields[_TTL] = entry.expires_at
    if not id_names_collection and entry.collection is not None:
        fields[_COLLECTION] = entry.collection
    if not id_names_key and entry.key is not None:
        fields[_KEY] = entry.key
    size = path.size + _DOCUMENT_BYTES + _size(fields)
    if size > MAX_DOCUMENT_BYTES or _text_size(entry.value_as_json) - 1 > _MAX_TEXT_BYTES:
        raise ValueTooLargeError(size, MAX_DOCUMENT_BYTES, entry.collection, entry.key)
    return fields


def _size(fields: Mapping[str, str | int | datetime]) -> int:
    return sum(
        _text_size(name) + (_text_size(field) if isinstance(field, str) else _NUMBER_BYTES)
        for name, field in fields.items()
    )


def _text_size(text: str) -> int:
    return (len(text) if text.isascii() else len(text.encode())) + 1


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return load_moment(text)
    except DeserializationError:
        return None
