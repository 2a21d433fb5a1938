"""The stored format v1: one JSON object for each entry. See docs/stored-format.md."""

from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

from key_value.aio.core.codec import dump_fields, load_object, load_objects
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.names import join_names
from key_value.aio.errors import DeserializationError

__all__ = ["dump_entry", "entry_of_fields", "is_entry_named", "load_entries", "load_entry", "load_moment"]

_VERSION = 1
_ENTRY = "the stored entry"


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
    envelope = load_object(text, _ENTRY)
    return entry_of_fields(envelope, envelope.get("value"), {})


def load_moment(text: object) -> datetime:
    """A date and time as the envelope has them. Raises DeserializationError."""
    return _load_datetime(text, {})


def load_entries(texts: Sequence[bytes | None]) -> list[ManagedEntry | None]:
    """`load_entry` of each text, None for None."""
    envelopes = iter(load_objects([text for text in texts if text is not None], _ENTRY))
    moments: dict[str, datetime] = {}
    return [
        None if text is None else entry_of_fields(envelope := next(envelopes), envelope.get("value"), moments)
        for text in texts
    ]


def entry_of_fields(fields: dict[str, Any], value: Any, moments: dict[str, datetime]) -> ManagedEntry:
    """The entry from the fields of its envelope beside the value, as backends with documents have them.

    `moments` is empty at first, and the same for a batch: its entries have some in common. Raises DeserializationError.
    """
    version = fields.get("version", _VERSION)
    if type(version) is not int or version != _VERSION:
        message = f"the stored entry has version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    if type(value) is str:
        value = load_object(value, "the value of the stored entry")
    key, collection = fields.get("key"), fields.get("collection")
    if (
        type(value) is not dict
        or not (type(key) is str or key is None)
        or not (type(collection) is str or collection is None)
    ):
        message = "the stored entry does not have a JSON object as its value and strings as its names"
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
    """Whether the data stored under the joined name is an entry of that name, and of the collection if one is given.

    Destroying uses it to remove only entries, and no other data with a similar name.
    """
    if not isinstance(stored, (bytes, str)):
        return False
    try:
        entry = load_entry(stored)
    except DeserializationError:
        return False
    if not entry.collection or not entry.key or collection not in (None, entry.collection):
        return False
    # The second is how earlier versions named a collection that holds the separator.
    return name in (join_names(entry.collection, entry.key), f"{entry.collection}::{entry.key}")


def _load_datetime(text: Any, moments: dict[str, datetime]) -> datetime:
    """Those in `moments` are known: entries that were put together have the same."""
    try:
        moment = moments.get(text)
        if moment is None:
            # Python 3.10 does not know the suffix Z.
            moment = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=timezone.utc)
            moments[text] = moment
    except (LookupError, TypeError, ValueError) as exc:
        message = "created_at and expires_at of the stored entry are not both ISO 8601 dates and times"
        raise DeserializationError(message) from exc
    return moment
