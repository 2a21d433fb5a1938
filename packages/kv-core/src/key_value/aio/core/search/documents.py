"""Entries as documents: the fields of stored format v1, with the value in a field that indexes all its leaves."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from key_value.aio.core.codec import EncodedValue, dump_fields, encode_value
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import entry_of_fields, load_moment
from key_value.aio.core.search.names import field_name
from key_value.aio.errors import DeserializationError, ValueTooLargeError

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "METADATA_FIELDS",
    "EntryMetadata",
    "FlattenedField",
    "document_of",
    "entries_of",
    "entry_metadata",
    "entry_of",
    "mapping_for",
]

# The longest string that OpenSearch's parser accepts.
MAX_DOCUMENT_BYTES = 50_000_000

# A Lucene term has at most 32766 bytes, and also contains the leaf's path, beginning with `value.flattened`.
_MAX_LEAF_BYTES = 32_600

_TEXT_FIELD = "json"
_NAMES_FIELD = "names"

# A JSON string; if it is a member name, the match includes the colon after it.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*":?', re.DOTALL)
_LONG_DIGIT_RUN = re.compile(rb"[0-9]{19}")
_ALL_BYTES = bytes(range(256))
_ALL_BUT_BRACKETS = bytes(set(_ALL_BYTES) - set(b"[]{}"))
_BRACKETS_TO_BRACES = bytes.maketrans(b"[]", b"{}")

METADATA_FIELDS = ["key", "collection", "expires_at", _NAMES_FIELD]
"""The fields that identify the entry of a document and give its expiry."""


class FlattenedField(NamedTuple):
    """The field under `value` that indexes all leaves of an object."""

    name: str
    type: str
    depth: int
    """The maximum nesting depth of objects and lists."""

    def accepts(self, encoded: EncodedValue) -> bool:
        """Return whether the field accepts the value, and any JSON parser reads the same value from it."""
        octets = encoded.encode() if isinstance(encoded, str) else encoded
        # Many JSON parsers read integers over 64 bits as floats.
        if b"\\u0000" in octets or (isinstance(encoded, str) and _LONG_DIGIT_RUN.search(octets)):
            return False
        small = len(octets) <= _MAX_LEAF_BYTES
        if small and octets.count(b"{") + octets.count(b"[") <= self.depth:
            return True
        depth = _depth(_STRING.sub(b"", octets), self.depth)
        return depth <= self.depth and (small or _max_leaf_bytes(octets, depth) <= _MAX_LEAF_BYTES)


def _max_leaf_bytes(encoded: bytes, depth: int) -> int:
    """Return an upper bound for the size of a leaf together with its path."""
    longest_name = longest_text = 0
    for string in _STRING.findall(encoded):
        if string[-1:] == b":":
            longest_name = max(longest_name, len(string))
        else:
            longest_text = max(longest_text, len(string))
    return longest_text + depth * longest_name


def _depth(encoded: bytes, max_depth: int) -> int:
    """Return the nesting depth of JSON text without its strings, or `max_depth` + 1 if it is deeper."""
    brackets = encoded.translate(_BRACKETS_TO_BRACES, _ALL_BUT_BRACKETS)
    depth = 0
    while brackets and depth <= max_depth:
        brackets = brackets.replace(b"{}", b"")
        depth += 1
    return depth


def mapping_for(field: FlattenedField) -> dict[str, Any]:
    """Return the mapping of an index: the mapping of format v1 plus two fields that are not indexed."""
    keyword, date = {"type": "keyword"}, {"type": "date"}
    return {
        "dynamic": "false",
        "properties": {
            "version": {"type": "integer"},
            "collection": keyword,
            "key": keyword,
            "created_at": date,
            "expires_at": date,
            "value": {
                "properties": {
                    field.name: {"type": field.type},
                    _TEXT_FIELD: {"type": "keyword", "index": False, "doc_values": False},
                }
            },
            _NAMES_FIELD: {"type": "object", "enabled": False},
        },
    }


def document_of(collection: str, key: str, entry: ManagedEntry, field: FlattenedField) -> bytes:
    """Return the document as JSON. Raises ValueTooLargeError over MAX_DOCUMENT_BYTES."""
    fields: dict[str, Any] = {"version": 1, "collection": field_name(collection), "key": field_name(key)}
    if fields["collection"] != collection or fields["key"] != key:
        fields[_NAMES_FIELD] = {"collection": collection, "key": key}
    if entry.created_at is not None:
        fields["created_at"] = entry.created_at
    if entry.expires_at is not None:
        fields["expires_at"] = entry.expires_at
    encoded = entry.encoded
    text = encoded if isinstance(encoded, str) else encoded.decode()
    value = f'{{"{field.name}":{text}}}' if field.accepts(encoded) else encode_value({_TEXT_FIELD: text})
    document = dump_fields(fields, value)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ValueTooLargeError(len(document), MAX_DOCUMENT_BYTES, collection, key)
    return document


def entry_of(document: dict[str, Any], field: FlattenedField) -> ManagedEntry:
    """Return the entry of the document. Raises DeserializationError if the document is not an entry."""
    [entry] = entries_of([document], field)
    assert entry is not None  # noqa: S101 — the document is not None
    return entry


def entries_of(documents: Sequence[dict[str, Any] | None], field: FlattenedField) -> list[ManagedEntry | None]:
    """Call `entry_of` for each document, None for None."""
    moments: dict[str, datetime] = {}
    entries: list[ManagedEntry | None] = []
    for document in documents:
        if document is None:
            entries.append(None)
            continue
        value: Any = document.get("value")
        if type(value) is dict:
            # `entry_of_fields` decodes a str. A `cast` would take as long as the rest of this block.
            value = value[_TEXT_FIELD] if _TEXT_FIELD in value else value.get(field.name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if _NAMES_FIELD in document:
            document = {**document, **_full_names(document)}  # noqa: PLW2901 — rare: only for shortened names
        entries.append(entry_of_fields(document, value, moments))
    return entries


def _full_names(document: dict[str, Any]) -> dict[str, Any]:
    """Return the names that are too long for their own fields."""
    names = document.get(_NAMES_FIELD)
    if not isinstance(names, dict):
        return {}
    names = cast("dict[str, Any]", names)
    return {name: names.get(name) for name in ("collection", "key")}


class EntryMetadata(NamedTuple):
    collection: Any
    key: Any
    expires_at: datetime | None

    def belongs_to(self, collection: str, key: str) -> bool:
        return self.collection in (None, collection) and self.key in (None, key)


def entry_metadata(document: dict[str, Any]) -> EntryMetadata:
    """Return the metadata of a document that has `METADATA_FIELDS`. An invalid expiry counts as none."""
    names = {**document, **_full_names(document)}
    try:
        expires_at = None if document.get("expires_at") is None else load_moment(document["expires_at"])
    except DeserializationError:
        expires_at = None
    return EntryMetadata(names.get("collection"), names.get("key"), expires_at)
