"""An entry as an item of a table: what `py-key-value-aio` writes, and reads."""

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
    "has_expired",
    "is_long_past",
    "is_written",
    "item_of",
    "live_entry_of",
    "live_name_of",
    "long_past",
    "name_of",
    "needs_reading",
    "primary_key",
    "text_of",
]

COLLECTION, KEY, VALUE, TTL = "collection", "key", "value", "ttl"
"""The attributes. The first two are the primary key."""

MAX_ITEM_BYTES = 400 * 1024
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html"""

Item = Mapping[str, Mapping[str, Any]]
"""Attribute → type → value, as DynamoDB's protocol has it."""

_NAMES_BYTES = len(COLLECTION) + len(KEY) + len(VALUE)
# A number has a byte for each two digits, and one or two more.
_TTL_BYTES = len(TTL) + 8

# Others cut the second off where we round it up, and the second that is left is told by the entry alone.
_UNCERTAINTY = 1


def primary_key(collection: str, key: str) -> dict[str, dict[str, str]]:
    return {COLLECTION: {"S": shorten(collection, MAX_COLLECTION_BYTES)}, KEY: {"S": shorten(key, MAX_KEY_BYTES)}}


def item_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, dict[str, str]]:
    """Raises ValueTooLargeError for what DynamoDB would refuse."""
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
    """What is stored for the entry. Raises DeserializationError for an item without it."""
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
    """The stored collection and key."""
    return item[COLLECTION]["S"], item[KEY]["S"]


def _name_behind(entry: ManagedEntry, item: Item) -> tuple[str, str] | None:
    """The collection and key of an entry that is stored under its own names."""
    if not entry.collection or not entry.key:
        return None
    names = entry.collection, entry.key
    return names if name_of(primary_key(*names)) == name_of(item) else None


def is_written(item: Item) -> bool:
    """Whether a store has written it."""
    try:
        return _name_behind(entry_of(item), item) is not None
    except DeserializationError:
        return False


def has_expired(item: Item) -> bool:
    try:
        return entry_of(item).is_expired
    except DeserializationError:
        return False


def long_past() -> str:
    """The `ttl` up to which an item has expired, whoever rounded it."""
    return str(int(clock.now().timestamp()) - _UNCERTAINTY)


def is_long_past(item: Item) -> bool:
    ttl = _seconds(item)
    return ttl is not None and ttl <= int(long_past())


def needs_reading(item: Item) -> bool:
    """Whether the item, without its value, leaves open how it is named or whether it has expired."""
    ttl = _seconds(item)
    return _is_shortened(item) or (ttl is not None and abs(ttl - clock.now().timestamp()) <= _UNCERTAINTY + 1)


def live_name_of(item: Item, whole: Item | None) -> tuple[str, str] | None:
    """The collection and key behind the stored name, of an item that was read again; None when it has expired.

    Raises DeserializationError when only what is stored would tell.
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
    return _name_behind(entry, item) or name_of(item)


def _is_shortened(item: Item) -> bool:
    collection, key = name_of(item)
    return is_shortened(collection, MAX_COLLECTION_BYTES) or is_shortened(key, MAX_KEY_BYTES)


def _seconds(item: Item) -> float | None:
    ttl = item.get(TTL, {}).get("N")
    return None if ttl is None else float(ttl)
