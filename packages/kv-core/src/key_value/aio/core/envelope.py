"""The stored format v1: one JSON object per entry. See docs/stored-format.md."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from key_value.aio.core.codec import dump_fields, load_object, load_objects
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.names import join_names
from key_value.aio.errors import DeserializationError

__all__ = ["dump_entry", "entry_of_fields", "is_entry_named", "load_entries", "load_entry", "load_moment"]

_VERSION = 1
_SUBJECT = "the stored entry"


def dump_entry(entry: ManagedEntry, *, names: bool = True) -> bytes:
    """Return the entry as UTF-8 text, including its names unless `names` is False."""
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
    """Load an entry in stored format v1, written by any library. Raises DeserializationError."""
    envelope = load_object(text, _SUBJECT)
    return entry_of_fields(envelope, envelope.get("value"), {})


def load_moment(text: object) -> datetime:
    """Load a date and time in the envelope's format. Raises DeserializationError."""
    return _load_datetime(text, {})


def load_entries(texts: Sequence[bytes | None]) -> list[ManagedEntry | None]:
    """Call `load_entry` for each text, None for None."""
    envelopes = iter(load_objects([text for text in texts if text is not None], _SUBJECT))
    moments: dict[str, datetime] = {}
    return [
        None if text is None else entry_of_fields(envelope := next(envelopes), envelope.get("value"), moments)
        for text in texts
    ]


def entry_of_fields(fields: dict[str, Any], value: Any, moments: dict[str, datetime]) -> ManagedEntry:
    """Create an entry from its value and the other fields of its envelope, as document databases store them.

    `moments` caches parsed times; pass the same dict, initially empty, for all entries of a batch. Raises
    DeserializationError.
    """
    version = fields.get("version", _VERSION)
    if type(version) is not int or version != _VERSION:
        message = f"the stored entry has format version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    if type(value) is str:
        value = load_object(value, "the value of the stored entry")
    key, collection = fields.get("key"), fields.get("collection")
    if (
        type(value) is not dict
        or not (type(key) is str or key is None)
        or not (type(collection) is str or collection is None)
    ):
        message = "the value of the stored entry must be a JSON object, and its names must be strings"
        raise DeserializationError(message)
    created_at, expires_at = fields.get("created_at"), fields.get("expires_at")
    return ManagedEntry.from_decoded(
        value,  # pyright: ignore[reportUnknownArgumentType] — `cast` takes as long as the check
        None if created_at is None else _load_datetime(created_at, moments),
        None if expires_at is None else _load_datetime(expires_at, moments),
        key,
        collection,
    )


def is_entry_named(name: str, stored: object, collection: str | None = None) -> bool:
    """Return whether the data stored under a joined name is an entry with that name and, if given, the collection.

    Used to remove only entries, and no other data with a similar name.
    """
    if not isinstance(stored, (bytes, str)):
        return False
    try:
        entry = load_entry(stored)
    except DeserializationError:
        return False
    if not entry.collection or not entry.key or collection not in (None, entry.collection):
        return False
    # Earlier versions did not escape a collection that contains the separator.
    return name in (join_names(entry.collection, entry.key), f"{entry.collection}::{entry.key}")


def _load_datetime(text: Any, moments: dict[str, datetime]) -> datetime:
    # Entries written in one batch have the same times, so parsed times are cached in `moments`.
    try:
        moment = moments.get(text)
        if moment is None:
            # Python 3.10 does not parse the suffix Z.
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            moments[text] = moment
    except (LookupError, TypeError, ValueError) as exc:
        message = "created_at or expires_at of the stored entry is not an ISO 8601 date and time"
        raise DeserializationError(message) from exc
    return moment
