"""The stored format v1: one JSON object for each entry. See docs/stored-format.md."""

from datetime import datetime, timezone
from typing import Any, cast

from key_value.aio.core.codec import dump_fields, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import DeserializationError

__all__ = ["dump_entry", "load_entry"]

_VERSION = 1


def dump_entry(entry: ManagedEntry, *, names: bool = True) -> bytes:
    """The entry as UTF-8 text, with the names beside the value unless told not to."""
    fields: dict[str, Any] = {"version": _VERSION}
    if names:
        fields["collection"] = entry.collection
        fields["key"] = entry.key
    if entry.created_at is not None:
        fields["created_at"] = entry.created_at
    if entry.expires_at is not None:
        fields["expires_at"] = entry.expires_at
    return dump_fields(fields, entry.encoded)


def load_entry(text: bytes | str) -> ManagedEntry:
    """The entry from the stored format v1, however it was written. Raises DeserializationError."""
    envelope = load_object(text, "the stored entry")
    version = envelope.get("version", _VERSION)
    if type(version) is not int or version != _VERSION:
        message = f"the stored entry has version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    value = envelope.get("value")
    if type(value) is str:
        value = load_object(value, "the value of the stored entry")
    key, collection = envelope.get("key"), envelope.get("collection")
    if (
        type(value) is not dict
        or not (key is None or type(key) is str)
        or not (collection is None or type(collection) is str)
    ):
        message = "the stored entry does not have a JSON object as its value and strings as its names"
        raise DeserializationError(message)
    created_at, expires_at = envelope.get("created_at"), envelope.get("expires_at")
    return ManagedEntry.from_decoded(
        cast("dict[str, Any]", value),
        None if created_at is None else _load_datetime(created_at),
        None if expires_at is None else _load_datetime(expires_at),
        key,
        collection,
    )


def _load_datetime(text: Any) -> datetime:
    try:
        # Python 3.10 does not know the suffix Z.
        moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
    except (LookupError, TypeError, ValueError) as exc:
        message = "created_at and expires_at of the stored entry are not both ISO 8601 dates and times"
        raise DeserializationError(message) from exc
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
