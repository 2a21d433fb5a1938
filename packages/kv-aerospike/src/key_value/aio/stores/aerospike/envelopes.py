"""Entries as text in a bin."""

from collections.abc import Sequence
from typing import Any

from key_value.aio.core.envelope import dump_entry, load_entries, load_entry
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.aerospike.client import Item, Stored
from key_value.aio.stores.aerospike.names import stored_names
from key_value.aio.stores.base import ManagedEntry

__all__ = ["RECORD_OVERHEAD", "entries_of", "entry_of", "item_of", "name_of"]

RECORD_OVERHEAD = 256
"""Bytes of a record besides its name and text, rounded up: 64 bytes of metadata, and the names of set and bin."""


def item_of(name: str, entry: ManagedEntry, max_record_bytes: int) -> Item:
    """Return the item to store. Raises ValueTooLargeError if name and text together exceed the limit."""
    text = dump_entry(entry)
    largest = max_record_bytes - RECORD_OVERHEAD - len(name.encode())
    if len(text) > largest:
        raise ValueTooLargeError(len(text), max(0, largest), entry.collection, entry.key)
    return Item(name, text.decode(), entry.remaining(1.0))


def entry_of(text: Any) -> ManagedEntry:
    """Return the entry in a bin. Raises DeserializationError if there is none."""
    return load_entry(_checked(text))


def entries_of(found: Sequence[Stored | None]) -> list[ManagedEntry | None]:
    """Return `entry_of` each record, None for None."""
    return load_entries([None if stored is None else _checked(stored.text).encode() for stored in found])


def name_of(text: Any) -> str | None:
    """Return the name given by the collection and key in the entry; None if the bin holds no entry."""
    try:
        entry = entry_of(text)
    except DeserializationError:
        return None
    if not entry.collection or not entry.key:
        return None
    return stored_names(entry.collection, [entry.key])[0]


def _checked(text: Any) -> str:
    if not isinstance(text, str):
        message = "the stored entry is not a string in the bin `value`"
        raise DeserializationError(message)
    return text
