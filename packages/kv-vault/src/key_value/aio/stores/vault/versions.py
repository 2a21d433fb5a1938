"""Writing and deleting an entry only as long as it is what it was."""

import re

from key_value.aio.core.entry import live_entry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.vault.engine import Requests, Secret
from key_value.aio.stores.vault.entries import has_expired, tombstone
from key_value.aio.stores.vault.names import path_of

__all__ = ["delete", "delete_if", "put_if", "put_if_absent", "retire", "version_of"]

_ATTEMPTS = 100

_VERSION = re.compile(r"[1-9][0-9]{0,17}\|[0-9TZ:.+-]{1,40}")


def version_of(secret: Secret) -> str:
    """The number alone is counted anew once a path was removed."""
    return f"{secret.version}|{secret.created_time}"


async def put_if_absent(requests: Requests, path: str, data: bytes) -> bool:
    """Store the data unless there is a live entry; whether it was stored."""
    version = 0
    for _ in range(_ATTEMPTS):
        if await requests.write(path, data, version):
            return True
        secret = await requests.read(path)
        if secret is not None and not has_expired(secret):
            return False
        version = 0 if secret is None else secret.version
    raise _contended()


async def put_if(requests: Requests, collection: str, key: str, data: bytes, version: str) -> bool:
    path = path_of(collection, key)
    secret = await _live_of_version(requests, collection, key, version)
    return secret is not None and await requests.write(path, data, secret.version)


async def delete_if(requests: Requests, collection: str, key: str, version: str) -> bool:
    secret = await _live_of_version(requests, collection, key, version)
    return secret is not None and await retire(requests, collection, key, secret)


async def delete(requests: Requests, collection: str, key: str) -> bool:
    """Remove the entry; whether it was a live one, and this is what removed it."""
    path = path_of(collection, key)
    for _ in range(_ATTEMPTS):
        secret = await requests.read(path)
        if secret is None:
            return False
        if secret.data is None:
            # Deleted by others, in a way that can be undone.
            await requests.destroy(path, secret.version)
            return False
        expired = has_expired(secret)
        if expired and not load_entry(secret.text).value:
            # A deletion that was interrupted has left the versions before.
            await requests.destroy(path, secret.version - 1)
            return False
        if await retire(requests, collection, key, secret):
            return not expired
    raise _contended()


async def retire(requests: Requests, collection: str, key: str, secret: Secret) -> bool:
    """Put a tombstone in place of this version, and destroy it and those before; whether it was the latest.

    Removing the path in its place would remove what others have put meanwhile: Vault has no condition for that.
    """
    path = path_of(collection, key)
    if not await requests.write(path, tombstone(collection, key), secret.version):
        return False
    await requests.destroy(path, secret.version)
    return True


async def _live_of_version(requests: Requests, collection: str, key: str, version: str) -> Secret | None:
    if not _VERSION.fullmatch(version):
        message = "the version is none of an entry in Vault"
        raise ValueError(message)
    secret = await requests.read(path_of(collection, key))
    if secret is None or secret.data is None or version_of(secret) != version:
        return None
    return None if live_entry(load_entry(secret.text), collection, key) is None else secret


def _contended() -> StoreConnectionError:
    message = f"others have written the entry between each of {_ATTEMPTS} attempts"
    return StoreConnectionError(message)
