"""Entries as documents, and documents as entries."""

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
    "decoded",
    "fields_of",
    "has_expired",
    "load_document",
    "load_documents",
    "unchanged",
    "version_of",
]

Document = Mapping[str, Any]

MAX_DOCUMENT_BYTES = 16 * 1024 * 1024

_VERSION = 1

_bson: Any = bson  # whose types are incomplete

# A document may be nested to 100 levels, of which the value begins at the third.
_MAX_DEPTH = 90
# The names and lengths of the fields, dates and operators around the value, in a document and in the update of one.
_FRAME_BYTES = 500
# A condition and an update share the 16 MiB of a document.
_MAX_COMPARED_BYTES = MAX_DOCUMENT_BYTES - 256 * 1024

_MILLISECOND = 1000

_INTEGERS = frozenset({int, Int64})
_LEAVES = frozenset({str, int, float, bool, type(None)})


# Decoders of a registry would take twice the time, in Python: what BSON has beside JSON is looked for afterwards.
DECODED: CodecOptions[dict[str, Any]] = CodecOptions(
    # A date beyond those of Python comes as something else in place of an error.
    datetime_conversion=DatetimeConversion.DATETIME_AUTO
)
UNDECODED: CodecOptions[RawBSONDocument] = CodecOptions(
    document_class=RawBSONDocument, datetime_conversion=DatetimeConversion.DATETIME_AUTO
)


def fields_of(entry: ManagedEntry) -> dict[str, Any]:
    """The fields of the entry's document except the key. Raises ValueTooLargeError for what MongoDB would refuse."""
    fields: dict[str, Any] = {
        "collection": entry.collection,
        "version": _VERSION,
        "created_at": entry.created_at,
        # The number distinguishes two writes of an equal value in the same millisecond.
        "value": {"object": _object_of(entry), "revision": random.getrandbits(62)},
    }
    if entry.expires_at is not None:
        fields["expires_at"] = _rounded_up(entry.expires_at)
    return fields


def _object_of(entry: ManagedEntry) -> RawBSONDocument | str:
    """The value as BSON where that holds it exactly, otherwise as JSON text, which readers of the format know too."""
    names = len(str(entry.collection).encode()) + 3 * len(str(entry.key).encode())
    room = MAX_DOCUMENT_BYTES - names - _FRAME_BYTES
    octets = _bson_of(entry)
    if octets is not None and len(octets) <= room:
        return RawBSONDocument(octets)
    text = entry.value_as_json
    size = len(text.encode())
    if size > room:
        raise ValueTooLargeError(size + MAX_DOCUMENT_BYTES - room, MAX_DOCUMENT_BYTES, entry.collection, entry.key)
    return text


def _bson_of(entry: ManagedEntry) -> bytes | None:
    """The value as BSON; None where that cannot hold it exactly."""
    encoded, value = entry.encoded, entry.value
    # The standard library encodes what orjson cannot hold, and BSON cannot either.
    if isinstance(encoded, str) or len(encoded) > MAX_DOCUMENT_BYTES:
        return None
    if encoded.count(b"{") + encoded.count(b"[") > _MAX_DEPTH and _is_deep(value):
        return None
    try:
        return encode(value, check_keys=True)
    except (InvalidDocument, OverflowError):
        # A name with a dollar sign in front, a dot or NUL; an integer over 64 bits.
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
    # BSON has milliseconds, and drops what is beyond them.
    excess = -moment.microsecond % _MILLISECOND
    try:
        return moment + timedelta(microseconds=excess)
    except OverflowError:
        return moment


def decoded(document: RawBSONDocument) -> Document:
    return _bson.decode(document.raw, DECODED)


def load_documents(documents: Sequence[Document]) -> list[ManagedEntry]:
    """The entries. Raises DeserializationError for a document that is none."""
    entries = [_entry_in(document) for document in documents]
    # All in one call, and in C.
    if is_plain([entry.value for entry in entries]):
        return entries
    return [
        ManagedEntry.from_decoded(_plain(entry.value), None, entry.expires_at, entry.key, entry.collection)
        for entry in entries
    ]


def _plain(part: Any) -> Any:
    """The same, where bson makes integers of 64 bits of a class of its own. Raises DeserializationError."""
    if type(part) is dict:
        return {name: _plain(each) for name, each in cast("dict[str, Any]", part).items()}
    if type(part) is list:
        return [_plain(each) for each in cast("list[Any]", part)]
    if type(part) is Int64:
        return int(part)
    if type(part) not in _LEAVES:
        message = "the value of the stored document holds a type of BSON that JSON does not have"
        raise DeserializationError(message)
    return part


def load_document(document: Document) -> ManagedEntry:
    """The entry. Raises DeserializationError for a document that is none."""
    return load_documents((document,))[0]


def _entry_in(document: Document) -> ManagedEntry:
    version = document.get("version", _VERSION)
    if type(version) not in _INTEGERS or version != _VERSION:
        message = f"the stored document has version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    value: Any = document.get("value")
    if type(value) is dict:
        # `cast` and `isinstance` with `str | None` would take most of the time.
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


def version_of(document: RawBSONDocument) -> str:
    """The version of an entry: a digest of what every writer of one changes."""
    return digest(*(_octets(document.get(name)) for name in ("value", "created_at", "expires_at")))


def unchanged(document: RawBSONDocument, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The condition that the document is as it was, to stand beside an update to these fields."""
    value = document.get("value")
    condition: dict[str, Any] = {"_id": document["_id"]}
    for name in ("key", "created_at", "expires_at"):
        # For null, a field that is not there is equal to it.
        condition[name] = {"$eq": document.get(name)}
    if isinstance(value, RawBSONDocument) and len(value.raw) + len(_octets(fields)) > _MAX_COMPARED_BYTES:
        condition["value.revision"] = value.get("revision")
    else:
        condition["value"] = {"$eq": value}
    return condition


def _octets(part: Any) -> bytes:
    return encode({"": part})
