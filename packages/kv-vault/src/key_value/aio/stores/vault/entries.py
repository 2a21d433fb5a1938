"""An entry as a secret, and what is found under a path."""

import json
from typing import NamedTuple

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.vault.engine import VALUE, Secret
from key_value.aio.stores.vault.names import path_of, split_path

__all__ = ["Found", "data_of", "found_at", "has_expired", "tombstone"]

_FRAME_BYTES = len(json.dumps({VALUE: ""}))


def data_of(entry: ManagedEntry, collection: str, key: str, limit: int) -> bytes:
    """The data of the secret. Raises ValueTooLargeError."""
    data = _data(dump_entry(entry))
    size = len(data) - _FRAME_BYTES
    if size > limit:
        raise ValueTooLargeError(size, limit, collection, key)
    return data


def tombstone(collection: str, key: str) -> bytes:
    """What takes the place of a deleted entry: one that has expired, without a value."""
    now = clock.now()
    return _data(dump_entry(ManagedEntry(value={}, created_at=now, expires_at=now, collection=collection, key=key)))


def _data(text: bytes) -> bytes:
    return json.dumps({VALUE: text.decode()}, ensure_ascii=False).encode()


def has_expired(secret: Secret) -> bool:
    """Whether it holds an entry that has expired, or nothing any more."""
    if secret.data is None:
        return True
    try:
        return load_entry(secret.text).is_expired
    except DeserializationError:
        return False


class Found(NamedTuple):
    """An entry that was found by its path."""

    path: str
    collection: str
    key: str
    secret: Secret
    entry: ManagedEntry

    @property
    def is_empty(self) -> bool:
        return not self.entry.value


def found_at(path: str, secret: Secret | None) -> Found | None:
    """The entry of this path; None for a secret that is none, or another's."""
    if secret is None or secret.data is None:
        return None
    try:
        entry = load_entry(secret.text)
    except DeserializationError:
        return None
    if entry.collection and entry.key:
        names = entry.collection, entry.key
        # The second is how earlier versions named a collection that holds the separator.
        if path_of(*names) != path and f"{entry.collection}::{entry.key}" != path:
            return None
    else:
        names = split_path(path)
        if names is None:
            return None
    return Found(path, *names, secret, entry)
