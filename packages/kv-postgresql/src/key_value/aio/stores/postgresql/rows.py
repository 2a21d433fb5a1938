"""Conversion of entries to rows of the table, and of rows to entries."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Literal

from key_value.aio.core.codec import load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.postgresql.names import is_shortened, original_name
from key_value.aio.stores.postgresql.values import jsonb_texts, load_named, load_value, quoted

__all__ = ["MAX_VALUE_BYTES", "dump_times", "dump_values", "listed_name", "load_row", "load_rows"]

MAX_VALUE_BYTES = 255 * 1024 * 1024
"""Below the limit of an array, object or string in JSONB, 256 MiB."""

_SECOND = timedelta(seconds=1)


def dump_values(collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> list[str]:
    """Return the JSON texts for the `value` column of entries with these stored names. Raises ValueTooLargeError."""
    encoded = [entry.encoded for entry in entries]
    for text, entry in zip(encoded, entries, strict=True):
        if len(text) > MAX_VALUE_BYTES:
            raise ValueTooLargeError(len(text), MAX_VALUE_BYTES, entry.collection, entry.key)
    texts = jsonb_texts(encoded)
    if is_shortened(collection) or is_shortened("".join(keys)):
        # A row with a shortened name also stores the full one, for comparison and listing.
        return [
            quoted(dump_entry(entry).decode()) if is_shortened(collection) or is_shortened(key) else text
            for key, entry, text in zip(keys, entries, texts, strict=True)
        ]
    return texts


def dump_times(entry: ManagedEntry) -> tuple[float | None, datetime | None, datetime | None]:
    """Return the columns ttl (in seconds), created_at and expires_at."""
    created_at, expires_at = entry.created_at, entry.expires_at
    ttl = None if created_at is None or expires_at is None else (expires_at - created_at) / _SECOND
    return ttl, created_at, expires_at


def load_rows(collection: str, rows: Iterable[tuple[str, str, datetime | None]]) -> dict[str, ManagedEntry]:
    """Return a mapping of stored key to entry from rows of key, value and expires_at. Raises DeserializationError."""
    rows = list(rows)
    texts = [text for _, text, _ in rows]
    plain = all(text[0] == "{" for text in texts) and not is_shortened(collection)
    if not plain or is_shortened("".join([key for key, _, _ in rows])):
        return {key: load_row(collection, key, text, expires_at) for key, text, expires_at in rows}
    # One call takes a third of the time of a hundred. A JSONB column always contains valid JSON.
    values = load_object(f'{{"values":[{",".join(texts)}]}}', f"a row of collection {collection!r:.80}")["values"]
    return {
        key: ManagedEntry.from_decoded(value, None, _aware(expires_at), None, None)
        for (key, _, expires_at), value in zip(rows, values, strict=True)
    }


def load_row(collection: str, key: str, text: str, expires_at: datetime | None) -> ManagedEntry:
    """Return the entry with these stored names. Raises DeserializationError."""
    what = f"the row of the key {key!r:.80} in collection {collection!r:.80}"
    if is_shortened(key) or is_shortened(collection):
        named = load_named(text, what)
        return ManagedEntry(value=named.value, expires_at=expires_at, key=named.key, collection=named.collection)
    return ManagedEntry.from_decoded(load_value(text, what), None, _aware(expires_at), None, None)


def listed_name(stored: str, text: str | None, which: Literal["key", "collection"]) -> str:
    """Return the original of a stored name. `text` is the value of its row if the name is shortened, else None."""
    if text is None:
        return original_name(stored)
    what = f"the row of the {which} {stored!r:.80}"
    name = getattr(load_named(text, what), which)
    if name is None:
        message = f"{what} does not contain its name"
        raise DeserializationError(message)
    return name


def _aware(moment: datetime | None) -> datetime | None:
    # asyncpg returns PostgreSQL's infinity as a naive datetime.
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
