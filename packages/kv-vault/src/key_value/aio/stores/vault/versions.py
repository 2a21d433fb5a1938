"""Writing and deleting an entry on the condition that it is unchanged."""

import re

from key_value.aio.core.entry import live_entry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.vault.engine import Requests, Secret
from key_value.aio.stores.vault.entries import has_expired, tombstone
from key_value.aio.stores.vault.names import path_of

__all__ = ["delete", "delete_if", "put_if", "put_if_absent", "retire", "version_of"]

_MAX_ATTEMPTS = 100

_VERSION = re.compile(r"[1-9][0-9]{0,17}\|[0-9TZ:.+-]{1,40}")


def version_of(secret: Secret) -> str:
    """Return number and creation time: the number alone starts again at 1 after a path was removed."""
    return f"{secret.version}|{secret.created_time}"


async def put_if_absent(requests: Requests, path: str, data: bytes) -> bool:
    """Store the data unless there is a live entry. Return whether it was stored."""
    version = 0
    for _ in range(_MAX_ATTEMPTS):
        if await requests.write(path, data, version):
            return True
        secret = await requests.read(path)
        if secret is not None and not has_expired(secret):
            return False
        version = 0 if secret is None else secret.version
    raise _contention_error()


async def put_if(requests: Requests, collection: str, key: str, data: bytes, version: str) -> bool:
    path = path_of(collection, key)
    secret = await _live_secret(requests, collection, key, version)
    return secret is not None and await requests.write(path, data, secret.version)


async def delete_if(requests: Requests, collection: str, key: str, version: str) -> bool:
    secret = await _live_secret(requests, collection, key, version)
    return secret is not None and await retire(requests, collection, key, secret)


async def delete(requests: Requests, collection: str, key: str) -> bool:
    """Remove the entry. Return whether it was live and this call removed it."""
    path = path_of(collection, key)
    for _ in range(_MAX_ATTEMPTS):
        secret = await requests.read(path)
        if secret is None:
            return False
        if secret.data is None:
            # Another application has soft-deleted it, which can be undone.
            await requests.destroy(path, secret.version)
            return False
        expired = has_expired(secret)
        if expired and not load_entry(secret.text).value:
            # A tombstone; an interrupted deletion may have left earlier versions.
            await requests.destroy(path, secret.version - 1)
            return False
        if await retire(requests, collection, key, secret):
            return not expired
    raise _contention_error()


async def retire(requests: Requests, collection: str, key: str, secret: Secret) -> bool:
    """Replace this version by a tombstone if it is the latest, and destroy it and earlier ones. Return whether it was.

    Removing the path instead could remove a concurrent write, as Vault supports no condition for it.
    """
    path = path_of(collection, key)
    if not await requests.write(path, tombstone(collection, key), secret.version):
        return False
    await requests.destroy(path, secret.version)
    return True


async def _live_secret(requests: Requests, collection: str, key: str, version: str) -> Secret | None:
    if not _VERSION.fullmatch(version):
        message = "the version was not returned by a store on Vault"
        raise ValueError(message)
    secret = await requests.read(path_of(collection, key))
    if secret is None or secret.data is None or version_of(secret) != version:
        return None
    return None if live_entry(load_entry(secret.text), collection, key) is None else secret


def _contention_error() -> StoreConnectionError:
    message = f"other clients kept writing the entry during {_MAX_ATTEMPTS} attempts"
    return StoreConnectionError(message)
