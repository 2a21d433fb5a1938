"""Conversion between entries and documents."""

import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, cast

import bson
from bson import CodecOptions, DatetimeConversion, Int64, encode
from bson.errors import InvalidDocument
from bson.raw_bson import RawBSONDocument
from key_value.aio.core import clock
from key_value.aio.core.codec import is_plain, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.marks import digest
from key_value.aio.errors import DeserializationError, ValueTooLargeError

__all__ = [
    "DECODED",
    "MAX_DOCUMENT_BYTES",
    "UNDECODED",
    "Document",
    "decode_document",
    "document_fields",
    "document_version",
    "has_expired",
    "load_document",
    "load_documents",
    "unchanged_condition",
]

Document = Mapping[str, Any]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

_VERSION = 1

_bson: Any = bson  # its type annotations are incomplete

# MongoDB limits documents to 100 levels of nesting; the value starts at the third.
_MAX_DEPTH = 90
# Names and lengths of the fields, dates and operators around the value, in a document and in an update.
_OVERHEAD_BYTES = 500
# Condition and update together are limited to the 16 MiB of a document.
_MAX_COMPARED_BYTES = MAX_DOCUMENT_BYTES - 256 * 1024

_MILLISECOND_MICROSECONDS = 1000

_INTEGERS = frozenset({int, Int64})
_LEAVES = frozenset({str, int, float, bool, type(None)})


# Type decoders would run in Python and take twice the time, so types that JSON does not have are checked afterwards.
DECODED: CodecOptions[dict[str, Any]] = CodecOptions(
    # Decodes a date out of Python's range to another type, rather than raising an error.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
UNDECODED: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def document_fields(entry: ManagedEntry) -> dict[str, Any]:
    """Return the document fields of the entry, except the key. Raises ValueTooLargeError for a too large document."""
    fields: dict[str, Any] = {
        "collection": entry.collection,
        "version": _VERSION,
        "created_at": entry.created_at,
        # The revision distinguishes two writes of an equal value in the same millisecond.
        "value": {"object": _object_of(entry), "revision": random.getrandbits(62)},
    }
    if entry.expires_at is not None:
        fields["expires_at"] = _rounded_up(entry.expires_at)
    return fields


def _object_of(entry: ManagedEntry) -> RawBSONDocument | str:
    """Return the value as BSON if that is exact, otherwise as JSON text, which all readers of the format accept."""
    names = len(str(entry.collection).encode()) + 3 * len(str(entry.key).encode())
    room = MAX_DOCUMENT_BYTES - names - _OVERHEAD_BYTES
    octets = _bson_of(entry)
    if octets is not None and len(octets) <= room:
        return RawBSONDocument(octets)
    text = entry.value_as_json
    size = len(text.encode())
    if size > room:
        raise ValueTooLargeError(size + MAX_DOCUMENT_BYTES - room, MAX_DOCUMENT_BYTES, entry.collection, entry.key)
    return text


def _bson_of(entry: ManagedEntry) -> bytes | None:
    """Return the value as BSON; None if BSON cannot represent it exactly."""
    encoded, value = entry.encoded, entry.value
    # A str was encoded by the standard library, because orjson, like BSON, cannot represent the value.
    if isinstance(encoded, str) or len(encoded) > MAX_DOCUMENT_BYTES:
        return None
    if encoded.count(b"{") + encoded.count(b"[") > _MAX_DEPTH and _is_deep(value):
        return None
    try:
        return encode(value, check_keys=True)
    except (InvalidDocument, OverflowError):
        # A name with a leading dollar sign, a dot or NUL, or an integer over 64 bits.
        return None


def _is_deep(value: Mapping[str, Any]) -> bool:
    level: list[Any] = [value]
    for _ in range(_MAX_DEPTH):
        level = [part for each in level for part in _parts(each) if isinstance(part, (dict, list))]
        if not level:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    return cast("dict[str, Any]", value).values() if isinstance(value, dict) else value


def _rounded_up(moment: datetime) -> datetime:
    # BSON dates have milliseconds, and are truncated.
    excess = -moment.microsecond % _MILLISECOND_MICROSECONDS
    try:
        return moment + timedelta(microseconds=excess)
    except OverflowError:
        return moment


def decode_document(document: RawBSONDocument) -> Document:
    return _bson.decode(document.raw, DECODED)


def load_documents(documents: Sequence[Document]) -> list[ManagedEntry]:
    """Return the entries. Raises DeserializationError for a document that is not an entry."""
    entries = [_entry_in(document) for document in documents]
    # One call for all values, implemented in C.
    if is_plain([entry.value for entry in entries]):
        return entries
    return [
        ManagedEntry.from_decoded(_plain(entry.value), None, entry.expires_at, entry.key, entry.collection)
        for entry in entries
    ]


def _plain(part: Any) -> Any:
    """Convert bson's Int64 to int. Raises DeserializationError for types that JSON does not have."""
    if type(part) is dict:
        return {name: _plain(each) for name, each in cast("dict[str, Any]", part).items()}
    if type(part) is list:
        return [_plain(each) for each in cast("list[Any]", part)]
    if type(part) is Int64:
        return int(part)
    if type(part) not in _LEAVES:
        message = "the value of the stored document contains a BSON type that JSON does not have"
        raise DeserializationError(message)
    return part


def load_document(document: Document) -> ManagedEntry:
    """Return the entry. Raises DeserializationError for a document that is not an entry."""
    return load_documents((document,))[0]


def _entry_in(document: Document) -> ManagedEntry:
    version = document.get("version", _VERSION)
    if type(version) not in _INTEGERS or version != _VERSION:
        message = f"the stored document has version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    value: Any = document.get("value")
    if type(value) is dict:
        # `cast` and `isinstance` with `str | None` would take most of the time of this function.
        value = value.get("object")  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    if type(value) is str:  # pyright: ignore[reportUnknownArgumentType]
        value = load_object(value, "the value of the stored document")
    key, collection, expires_at = document.get("key"), document.get("collection"), document.get("expires_at")
    if (
        type(value) is not dict  # pyright: ignore[reportUnknownArgumentType]
        or type(key) is not str
        or not (collection is None or type(collection) is str)
    ):
        message = "the stored document does not have an object as its value and strings as its names"
        raise DeserializationError(message)
    if expires_at is not None:
        if not isinstance(expires_at, datetime):
            message = "expires_at of the stored document is not a date from the years 1 to 9999"
            raise DeserializationError(message)
        expires_at = expires_at.replace(tzinfo=timezone.utc)
    return ManagedEntry.from_decoded(value, None, expires_at, key, collection)  # pyright: ignore[reportUnknownArgumentType]


def has_expired(document: Document) -> bool:
    expires_at = document.get("expires_at")
    return isinstance(expires_at, datetime) and expires_at.replace(tzinfo=timezone.utc) <= clock.now()


def document_version(document: RawBSONDocument) -> str:
    """Return the version of an entry: a digest of the fields that every writer changes."""
    return digest(*(_encoded(document.get(name)) for name in ("value", "created_at", "expires_at")))


def unchanged_condition(document: RawBSONDocument, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the condition that the document is unchanged, for an update to these fields."""
    value = document.get("value")
    condition: dict[str, Any] = {"_id": document["_id"]}
    for name in ("key", "created_at", "expires_at"):
        # Null also matches a missing field.
        condition[name] = {"$eq": document.get(name)}
    if isinstance(value, RawBSONDocument) and len(value.raw) + len(_encoded(fields)) > _MAX_COMPARED_BYTES:
        condition["value.revision"] = value.get("revision")
    else:
        condition["value"] = {"$eq": value}
    return condition


def _encoded(part: Any) -> bytes:
    return encode({"": part})
