"""Entries as items of a table, in the format of `py-key-value-aio`."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry, live_entry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.dynamodb.names import MAX_COLLECTION_BYTES, MAX_KEY_BYTES, is_shortened, shorten

__all__ = [
    "COLLECTION",
    "KEY",
    "MAX_ITEM_BYTES",
    "TTL",
    "VALUE",
    "Item",
    "entry_of",
    "has_certainly_expired",
    "has_expired",
    "is_written_by_store",
    "item_of",
    "live_entry_of",
    "live_name_of",
    "max_expired_ttl",
    "name_of",
    "needs_reading",
    "primary_key",
    "text_of",
]

COLLECTION, KEY, VALUE, TTL = "collection", "key", "value", "ttl"
"""The attributes of an item. The first two are the primary key."""

MAX_ITEM_BYTES = 400 * 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

Item = Mapping[str, Mapping[str, Any]]
"""Attribute → type → value, as in DynamoDB's protocol."""

_NAMES_BYTES = len(COLLECTION) + len(KEY) + len(VALUE)
# A number has one byte for each two digits, and one or two more.
_TTL_BYTES = len(TTL) + 8

# This package rounds a `ttl` up to full seconds, other writers round it down: only the entry has the exact expiry.
_TTL_UNCERTAINTY_SECONDS = 1


def primary_key(collection: str, key: str) -> dict[str, dict[str, str]]:
    return {COLLECTION: {"S": shorten(collection, MAX_COLLECTION_BYTES)}, KEY: {"S": shorten(key, MAX_KEY_BYTES)}}


def item_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, dict[str, str]]:
    """Return the item of an entry. Raises ValueTooLargeError if it exceeds DynamoDB's limit."""
    text = dump_entry(entry)
    item = primary_key(collection, key)
    size = len(text) + _NAMES_BYTES + sum(len(name["S"].encode()) for name in item.values())
    if entry.expires_at is not None:
        item[TTL] = {"N": str(ceil(entry.expires_at.timestamp()))}
        size += _TTL_BYTES
    if size > MAX_ITEM_BYTES:
        raise ValueTooLargeError(size, MAX_ITEM_BYTES, collection, key)
    item[VALUE] = {"S": text.decode()}
    return item


def text_of(item: Item) -> str:
    """Return the stored text of the entry. Raises DeserializationError if the item has none."""
    text = item.get(VALUE, {}).get("S")
    if not isinstance(text, str):
        message = f"the stored item has no attribute {VALUE!r} that is a string"
        raise DeserializationError(message)
    return text


def entry_of(item: Item) -> ManagedEntry:
    return load_entry(text_of(item))


def live_entry_of(item: Item, collection: str, key: str) -> ManagedEntry | None:
    return live_entry(entry_of(item), collection, key)


def name_of(item: Item) -> tuple[str, str]:
    """Return the stored collection and key."""
    return item[COLLECTION]["S"], item[KEY]["S"]


def _original_name(entry: ManagedEntry, item: Item) -> tuple[str, str] | None:
    """Return the collection and key in the entry, None unless the item is stored under them."""
    if not entry.collection or not entry.key:
        return None
    names = entry.collection, entry.key
    return names if name_of(primary_key(*names)) == name_of(item) else None


def is_written_by_store(item: Item) -> bool:
    """Whether a store wrote the item."""
    try:
        return _original_name(entry_of(item), item) is not None
    except DeserializationError:
        return False


def has_expired(item: Item) -> bool:
    try:
        return entry_of(item).is_expired
    except DeserializationError:
        return False


def max_expired_ttl() -> str:
    """Return the largest `ttl` of an item that has certainly expired, whichever way it was rounded."""
    return str(int(clock.now().timestamp()) - _TTL_UNCERTAINTY_SECONDS)


def has_certainly_expired(item: Item) -> bool:
    ttl = _ttl_of(item)
    return ttl is not None and ttl <= int(max_expired_ttl())


def needs_reading(item: Item) -> bool:
    """Whether the value is needed to know the item's name, or whether it has expired."""
    ttl = _ttl_of(item)
    if _is_shortened(item):
        return True
    return ttl is not None and abs(ttl - clock.now().timestamp()) <= _TTL_UNCERTAINTY_SECONDS + 1


def live_name_of(item: Item, whole: Item | None) -> tuple[str, str] | None:
    """Return the original collection and key of an item; None if it has expired or, as `whole`, no longer exists.

    Raises DeserializationError if the name is shortened and the value, which has the full name, is corrupt.
    """
    if whole is None:
        return None
    try:
        entry = entry_of(whole)
    except DeserializationError:
        if _is_shortened(item):
            raise
        return name_of(item)
    if entry.is_expired:
        return None
    return _original_name(entry, item) or name_of(item)


def _is_shortened(item: Item) -> bool:
    collection, key = name_of(item)
    return is_shortened(collection, MAX_COLLECTION_BYTES) or is_shortened(key, MAX_KEY_BYTES)


def _ttl_of(item: Item) -> float | None:
    ttl = item.get(TTL, {}).get("N")
    return None if ttl is None else float(ttl)
