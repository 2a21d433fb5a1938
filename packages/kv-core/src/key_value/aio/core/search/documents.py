"""Entries as documents: the fields of stored format v1, with the value in a field that indexes all of its leaves."""

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
    "LISTED",
    "MAX_DOCUMENT_BYTES",
    "FlattenedField",
    "Listed",
    "document_of",
    "entries_of",
    "entry_of",
    "listed",
    "mapping_for",
]

# The longest string that OpenSearch reads.
MAX_DOCUMENT_BYTES = 50_000_000

# A term of Lucene has 32766 bytes, and holds the path of the leaf as well: with `value.flattened` at its start.
_MAX_LEAF_BYTES = 32_600

_TEXT = "json"
_NAMES = "names"

# With the colon behind it, where it is a name.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*":?', re.DOTALL)
_MAY_BE_LARGE = re.compile(rb"[0-9]{19}")
_ALL_BYTES = bytes(range(256))
_NO_BRACKETS = bytes(set(_ALL_BYTES) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"[]", b"{}")

LISTED = ["key", "collection", "expires_at", _NAMES]
"""The fields that tell of what entry a document is, and whether it has expired."""


class FlattenedField(NamedTuple):
    """The field under `value` whose leaves are all found."""

    name: str
    type: str
    depth: int
    """How deep it takes objects and lists."""

    def takes(self, encoded: EncodedValue) -> bool:
        """Whether it takes the value, and whether any reader of JSON gets the same value from it."""
        octets = encoded.encode() if isinstance(encoded, str) else encoded
        # Many readers of JSON take a larger integer for a float.
        if b"\\u0000" in octets or (isinstance(encoded, str) and _MAY_BE_LARGE.search(octets)):
            return False
        small = len(octets) <= _MAX_LEAF_BYTES
        if small and octets.count(b"{") + octets.count(b"[") <= self.depth:
            return True
        depth = _depth(_STRING.sub(b"", octets), self.depth)
        return depth <= self.depth and (small or _longest_leaf(octets, depth) <= _MAX_LEAF_BYTES)


def _longest_leaf(encoded: bytes, depth: int) -> int:
    """What no leaf of JSON is longer than, together with its path."""
    longest_name = longest_text = 0
    for string in _STRING.findall(encoded):
        if string[-1:] == b":":
            longest_name = max(longest_name, len(string))
        else:
            longest_text = max(longest_text, len(string))
    return longest_text + depth * longest_name


def _depth(encoded: bytes, most: int) -> int:
    """How deep JSON without its strings is nested; `most` + 1 for all that is deeper."""
    brackets = encoded.translate(_ALIKE, _NO_BRACKETS)
    depth = 0
    while brackets and depth <= most:
        brackets = brackets.replace(b"{}", b"")
        depth += 1
    return depth


def mapping_for(field: FlattenedField) -> dict[str, Any]:
    """The mapping of an index, which readers of format v1 know, but for what is not indexed."""
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
                    _TEXT: {"type": "keyword", "index": False, "doc_values": False},
                }
            },
            _NAMES: {"type": "object", "enabled": False},
        },
    }


def document_of(collection: str, key: str, entry: ManagedEntry, field: FlattenedField) -> bytes:
    """The document as JSON. Raises ValueTooLargeError."""
    fields: dict[str, Any] = {"version": 1, "collection": field_name(collection), "key": field_name(key)}
    if fields["collection"] != collection or fields["key"] != key:
        fields[_NAMES] = {"collection": collection, "key": key}
    if entry.created_at is not None:
        fields["created_at"] = entry.created_at
    if entry.expires_at is not None:
        fields["expires_at"] = entry.expires_at
    encoded = entry.encoded
    text = encoded if isinstance(encoded, str) else encoded.decode()
    value = f'{{"{field.name}":{text}}}' if field.takes(encoded) else encode_value({_TEXT: text})
    document = dump_fields(fields, value)
    if len(document) > MAX_DOCUMENT_BYTES:
        raise ValueTooLargeError(len(document), MAX_DOCUMENT_BYTES, collection, key)
    return document


def entry_of(document: dict[str, Any], field: FlattenedField) -> ManagedEntry:
    """Raises DeserializationError."""
    [entry] = entries_of([document], field)
    assert entry is not None  # noqa: S101 — as no document is
    return entry


def entries_of(documents: Sequence[dict[str, Any] | None], field: FlattenedField) -> list[ManagedEntry | None]:
    """`entry_of` of each, None for None."""
    moments: dict[str, datetime] = {}
    entries: list[ManagedEntry | None] = []
    for document in documents:
        if document is None:
            entries.append(None)
            continue
        value: Any = document.get("value")
        if type(value) is dict:
            # A text is what `entry_of_fields` decodes. `cast` takes as long as all of this.
            value = value[_TEXT] if _TEXT in value else value.get(field.name)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if _NAMES in document:
            document = {**document, **_names(document)}  # noqa: PLW2901 — seldom, for names that are too long
        entries.append(entry_of_fields(document, value, moments))
    return entries


def _names(document: dict[str, Any]) -> dict[str, Any]:
    """The names that are too long for their fields."""
    names = document.get(_NAMES)
    if not isinstance(names, dict):
        return {}
    names = cast("dict[str, Any]", names)
    return {name: names.get(name) for name in ("collection", "key")}


class Listed(NamedTuple):
    collection: Any
    key: Any
    expires_at: datetime | None

    def is_of(self, collection: str, key: str) -> bool:
        return self.collection in (None, collection) and self.key in (None, key)


def listed(document: dict[str, Any]) -> Listed:
    """Of what entry a document with the fields `LISTED` is. A time that is none counts as never."""
    names = {**document, **_names(document)}
    try:
        expires_at = None if document.get("expires_at") is None else load_moment(document["expires_at"])
    except DeserializationError:
        expires_at = None
    return Listed(names.get("collection"), names.get("key"), expires_at)
