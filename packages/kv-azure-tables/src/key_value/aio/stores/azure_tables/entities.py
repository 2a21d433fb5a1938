"""Entries as entities of a table."""

import json
from collections.abc import Callable, Mapping
from math import ceil
from typing import Any

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import DeserializationError, InvalidKeyError, ValueTooLargeError
from key_value.aio.stores.azure_tables.names import restored_name, stored_name

__all__ = [
    "MAX_ENTRY_BYTES",
    "NAMES",
    "Entity",
    "Naming",
    "contains_entry",
    "entity_of",
    "entry_of",
    "has_expired",
    "is_past",
    "live_names_of",
    "names_of",
    "needs_value",
    "stored_names",
    "transaction_size",
]

Entity = Mapping[str, Any]

Naming = Callable[[str, str], tuple[str, str]]
"""A function from the collection and key in an entry to those that the store's strategies return."""

PARTITION, ROW, VALUE, EXPIRES_AT = "PartitionKey", "RowKey", "Value", "ExpiresAt"
NAMES = (PARTITION, ROW, EXPIRES_AT)

# An entity is limited to 1 MiB. Each character of the value takes two bytes; the rest is for names and properties. The
# value takes at most 32 of the 252 allowed properties.
# https://learn.microsoft.com/azure/storage/tables/scalability-targets
MAX_ENTRY_BYTES = 1024**2 // 2 - 4096
_PROPERTY_UNITS = 32 * 1024
# Seconds. Other implementations truncate expiry times to seconds, this one rounds up.
_EXPIRY_UNCERTAINTY_SECONDS = 2


def entity_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, Any]:
    """Return the entity of an entry. Raises ValueTooLargeError for an entity that Azure would reject."""
    text = dump_entry(entry).decode()
    units = len(text.encode("utf-16-le")) // 2
    if units > MAX_ENTRY_BYTES:
        raise ValueTooLargeError(units, MAX_ENTRY_BYTES, collection, key)
    entity: dict[str, Any] = {PARTITION: stored_name(collection), ROW: stored_name(key)}
    for number, part in enumerate(_parts(text, units)):
        entity[f"{VALUE}{number or ''}"] = part
    if entry.expires_at is not None:
        # Exceeds Edm.Int32 from 2038 on.
        from azure.data.tables import EdmType, EntityProperty

        entity[EXPIRES_AT] = EntityProperty(ceil(entry.expires_at.timestamp()), EdmType.INT64)
    return entity


def _parts(text: str, units: int) -> list[str]:
    # A character has at most two UTF-16 units.
    size = _PROPERTY_UNITS if units == len(text) else _PROPERTY_UNITS // 2
    return [text[start : start + size] for start in range(0, len(text), size)]


def transaction_size(entity: Entity) -> int:
    """Return an upper limit of the entity's size in a transaction, in bytes."""
    names = sum(len(entity[name].encode()) for name in (PARTITION, ROW))
    # Names are in the JSON and in the URL, where a byte takes up to three characters. 1024 bytes are request overhead.
    return len(json.dumps(entity, default=str)) + 4 * names + 1024


def text_of(entity: Entity) -> str:
    """Return the stored text of the entry. Raises DeserializationError if the entity has none."""
    parts: list[str] = []
    while isinstance(part := entity.get(f"{VALUE}{len(parts) or ''}"), str):
        parts.append(part)
    if not parts:
        message = f"the stored entity has no string property {VALUE!r}"
        raise DeserializationError(message)
    return "".join(parts)


def entry_of(entity: Entity) -> ManagedEntry:
    return load_entry(text_of(entity))


def has_expired(entity: Entity) -> bool:
    try:
        return entry_of(entity).is_expired
    except DeserializationError:
        return False


def stored_names(entity: Entity) -> tuple[str, str]:
    return entity[PARTITION], entity[ROW]


def names_of(entity: Entity) -> tuple[str, str] | None:
    """Return collection and key; None if one of them is hashed."""
    collection, key = restored_name(entity[PARTITION]), restored_name(entity[ROW])
    return None if collection is None or key is None else (collection, key)


def contains_entry(entity: Entity, naming: Naming) -> bool:
    """Whether the entity contains an entry, stored under its own collection and key."""
    try:
        entry = entry_of(entity)
    except DeserializationError:
        return False
    if not entry.collection or not entry.key:
        return names_of(entity) is not None
    return _names_in(entity, entry, naming) is not None


def live_names_of(entity: Entity, naming: Naming) -> tuple[str, str] | None:
    """Return collection and key of an entity with its value; None if it has expired or they are unknown."""
    try:
        entry = entry_of(entity)
    except DeserializationError:
        return names_of(entity)
    return None if entry.is_expired else _names_in(entity, entry, naming) or names_of(entity)


def _names_in(entity: Entity, entry: ManagedEntry, naming: Naming) -> tuple[str, str] | None:
    """Return the collection and key in the entry, if the entity is stored under them."""
    if not entry.collection or not entry.key:
        return None
    try:
        names = naming(entry.collection, entry.key)
    except InvalidKeyError:
        return None
    return names if (stored_name(names[0]), stored_name(names[1])) == stored_names(entity) else None


def is_past(entity: Entity) -> bool:
    """Whether the entity, read without its value, has certainly expired."""
    seconds = _seconds(entity)
    return seconds is not None and seconds + _EXPIRY_UNCERTAINTY_SECONDS < clock.now().timestamp()


def needs_value(entity: Entity) -> bool:
    """Whether the value must be read to know the names of the entity or whether it has expired."""
    seconds = _seconds(entity)
    is_uncertain = seconds is not None and abs(seconds - clock.now().timestamp()) <= _EXPIRY_UNCERTAINTY_SECONDS
    return is_uncertain or names_of(entity) is None


def _seconds(entity: Entity) -> int | None:
    found = entity.get(EXPIRES_AT)
    seconds: Any = getattr(found, "value", found)
    # Another application may use a property with this name and another type.
    return seconds if type(seconds) is int else None
