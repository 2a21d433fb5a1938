"""Entries of earlier versions on a server that folds names, where keys with a slash now have another name."""

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.s3.bucket import Requests
from key_value.aio.stores.s3.entries import StoredEntry, parameters_of
from key_value.aio.stores.s3.names import Names

__all__ = ["get_entry", "move_older"]


async def get_entry(requests: Requests, names: Names, collection: str, key: str) -> StoredEntry | None:
    """Return the entry stored under its current or older name."""
    stored = await requests.get(names.name(collection, key))
    if stored is None and (older := names.older_name(collection, key)) is not None:
        return await requests.get(older)
    return stored


async def move_older(requests: Requests, names: Names, collection: str, key: str) -> str:
    """Move an entry under the older name to the current one, unless it is corrupt. Return the current name."""
    name = names.name(collection, key)
    older = names.older_name(collection, key)
    stored = None if older is None else await requests.get(older)
    if older is None or stored is None:
        return name
    try:
        entry = stored.load()
    except DeserializationError:
        return name
    copy = ManagedEntry(value=entry.value, created_at=entry.created_at, expires_at=entry.expires_at)
    # An entry that already exists under the current name is newer.
    await requests.put_if(name, parameters_of(collection, key, copy), IfNoneMatch="*")
    await requests.delete(older, stored.info.etag)
    return name
