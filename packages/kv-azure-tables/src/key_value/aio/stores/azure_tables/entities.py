"""An entry as an entity of a table."""

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
    "entity_of",
    "entry_of",
    "has_expired",
    "is_doubtful",
    "is_past",
    "is_written",
    "live_names_of",
    "names_of",
    "stored_names",
    "weight_of",
]

Entity = Mapping[str, Any]

Naming = Callable[[str, str], tuple[str, str]]
"""The collection and key that those of an entry become with the strategies of the store."""

PARTITION, ROW, VALUE, EXPIRES_AT = "PartitionKey", "RowKey", "Value", "ExpiresAt"
NAMES = (PARTITION, ROW, EXPIRES_AT)

# An entity has 1 MiB, of which a character takes two bytes, and its names and the properties the rest. The properties
# are 32 at the most, of the 252 that it may have.
# https://learn.microsoft.com/azure/storage/tables/scalability-targets
MAX_ENTRY_BYTES = 1024**2 // 2 - 4096
_PROPERTY_UNITS = 32 * 1024
# Others cut the second off where it is rounded up here.
_UNCERTAINTY = 2


def entity_of(collection: str, key: str, entry: ManagedEntry) -> dict[str, Any]:
    """Raises ValueTooLargeError for what Azure would refuse."""
    text = dump_entry(entry).decode()
    units = len(text.encode("utf-16-le")) // 2
    if units > MAX_ENTRY_BYTES:
        raise ValueTooLargeError(units, MAX_ENTRY_BYTES, collection, key)
    entity: dict[str, Any] = {PARTITION: stored_name(collection), ROW: stored_name(key)}
    for number, part in enumerate(_parts(text, units)):
        entity[f"{VALUE}{number or ''}"] = part
    if entry.expires_at is not None:
        # Larger than what Edm.Int32 holds from 2038 on.
        from azure.data.tables import EdmType, EntityProperty

        entity[EXPIRES_AT] = EntityProperty(ceil(entry.expires_at.timestamp()), EdmType.INT64)
    return entity


def _parts(text: str, units: int) -> list[str]:
    # A character has two units of UTF-16 at the most.
    size = _PROPERTY_UNITS if units == len(text) else _PROPERTY_UNITS // 2
    return [text[start : start + size] for start in range(0, len(text), size)]


def weight_of(entity: Entity) -> int:
    """What it takes in a transaction, in bytes at the most."""
    names = sum(len(entity[name].encode()) for name in (PARTITION, ROW))
    # In JSON once, and once in the URL, where a byte may be three characters; and the frame of the request.
    return len(json.dumps(entity, default=str)) + 4 * names + 1024


def text_of(entity: Entity) -> str:
    """What is stored for the entry. Raises DeserializationError for an entity without it."""
    parts: list[str] = []
    while isinstance(part := entity.get(f"{VALUE}{len(parts) or ''}"), str):
        parts.append(part)
    if not parts:
        message = f"the stored entity has no property {VALUE!r} that is a string"
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
    """The collection and key; None where a digest hides one."""
    collection, key = restored_name(entity[PARTITION]), restored_name(entity[ROW])
    return None if collection is None or key is None else (collection, key)


def is_written(entity: Entity, naming: Naming) -> bool:
    """Whether it holds an entry, which has no other names than those that it is stored under."""
    try:
        entry = entry_of(entity)
    except DeserializationError:
        return False
    if not entry.collection or not entry.key:
        return names_of(entity) is not None
    return _names_in(entity, entry, naming) is not None


def live_names_of(entity: Entity, naming: Naming) -> tuple[str, str] | None:
    """The collection and key of an entity with its value; None when it has expired, or nothing tells them."""
    try:
        entry = entry_of(entity)
    except DeserializationError:
        return names_of(entity)
    return None if entry.is_expired else _names_in(entity, entry, naming) or names_of(entity)


def _names_in(entity: Entity, entry: ManagedEntry, naming: Naming) -> tuple[str, str] | None:
    """Those that the entry has and is stored under."""
    if not entry.collection or not entry.key:
        return None
    try:
        names = naming(entry.collection, entry.key)
    except InvalidKeyError:
        return None
    return names if (stored_name(names[0]), stored_name(names[1])) == stored_names(entity) else None


def is_past(entity: Entity) -> bool:
    seconds = _seconds(entity)
    return seconds is not None and seconds + _UNCERTAINTY < clock.now().timestamp()


def is_doubtful(entity: Entity) -> bool:
    """Whether the entity, without its value, leaves open how it is named or whether it has expired."""
    seconds = _seconds(entity)
    unsure = seconds is not None and abs(seconds - clock.now().timestamp()) <= _UNCERTAINTY
    return unsure or names_of(entity) is None


def _seconds(entity: Entity) -> int | None:
    found = entity.get(EXPIRES_AT)
    seconds: Any = getattr(found, "value", found)
    # Another application may have a property of this name, of another kind.
    return seconds if type(seconds) is int else None
