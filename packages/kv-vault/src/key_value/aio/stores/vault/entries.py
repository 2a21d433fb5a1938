"""Conversion of entries to secrets, and of secrets to entries."""

import json
from typing import NamedTuple

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.vault.engine import VALUE, Secret
from key_value.aio.stores.vault.names import path_of, split_path

__all__ = ["FoundEntry", "found_at", "has_expired", "secret_data", "tombstone"]

_FRAME_BYTES = len(json.dumps({VALUE: ""}))


def secret_data(entry: ManagedEntry, collection: str, key: str, limit: int) -> bytes:
    """Return the data of the secret. Raises ValueTooLargeError if it exceeds the limit."""
    data = _data(dump_entry(entry))
    size = len(data) - _FRAME_BYTES
    if size > limit:
        raise ValueTooLargeError(size, limit, collection, key)
    return data


def tombstone(collection: str, key: str) -> bytes:
    """Return the data that replaces a deleted entry: an expired entry with an empty value."""
    now = clock.now()
    return _data(dump_entry(ManagedEntry(value={}, created_at=now, expires_at=now, collection=collection, key=key)))


def _data(text: bytes) -> bytes:
    return json.dumps({VALUE: text.decode()}, ensure_ascii=False).encode()


def has_expired(secret: Secret) -> bool:
    """Whether the secret holds an expired entry, or has been deleted."""
    if secret.data is None:
        return True
    try:
        return load_entry(secret.text).is_expired
    except DeserializationError:
        return False


class FoundEntry(NamedTuple):
    """An entry found at a path."""

    path: str
    collection: str
    key: str
    secret: Secret
    entry: ManagedEntry

    @property
    def is_empty(self) -> bool:
        return not self.entry.value


def found_at(path: str, secret: Secret | None) -> FoundEntry | None:
    """Return the entry at this path; None if the secret is missing or belongs to another application."""
    if secret is None or secret.data is None:
        return None
    try:
        entry = load_entry(secret.text)
    except DeserializationError:
        return None
    if entry.collection and entry.key:
        names = entry.collection, entry.key
        # The second form is the name that earlier versions gave to a collection that contains the separator.
        if path_of(*names) != path and f"{entry.collection}::{entry.key}" != path:
            return None
    else:
        names = split_path(path)
        if names is None:
            return None
    return FoundEntry(path, *names, secret, entry)
