"""Writing and deleting an object only as long as it is what it was."""

from typing import Any

from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.s3.bucket import Requests
from key_value.aio.stores.s3.entries import Seen, tombstone
from key_value.aio.stores.s3.server import Facts

__all__ = ["delete_exactly", "delete_expired", "delete_if", "put_if_absent", "put_if_etag"]

_ATTEMPTS = 100


async def put_if_etag(requests: Requests, name: str, parameters: dict[str, Any], etag: str) -> bool:
    return await requests.put_if(name, parameters, IfMatch=etag) is not None


async def put_if_absent(requests: Requests, name: str, parameters: dict[str, Any]) -> bool:
    """Write the entry unless there is a live one; whether it was written."""
    for _ in range(_ATTEMPTS):
        if await requests.put_if(name, parameters, IfNoneMatch="*") is not None:
            return True
        found = await requests.look(name)
        if found is not None and not found.is_live:
            found = await requests.confirm(name, found)
        if found is None:
            continue  # deleted meanwhile
        if found.is_live:
            return False
        if await requests.put_if(name, parameters, IfMatch=found.etag) is not None:
            return True
    raise _contended()


async def delete_exactly(requests: Requests, facts: Facts, name: str) -> bool:
    """Delete the object; whether it was a live entry, and this is what deleted it, as far as the server can tell."""
    for _ in range(_ATTEMPTS):
        found = await requests.look(name)
        if found is None:
            return False
        if not facts.conditions:
            await requests.delete(name)
            return found.is_live
        if not facts.exact_deletes:
            found = await requests.confirm(name, found)
        if found is not None and await delete_if(requests, facts, name, found.etag):
            return found.is_live
    raise _contended()


async def delete_if(requests: Requests, facts: Facts, name: str, etag: str) -> bool:
    if facts.exact_deletes:
        return await requests.delete(name, etag)
    # A server that deletes what is not there, whatever its ETag, lets everybody win. Of those who put an expired entry
    # in its place, one does.
    buried = await requests.put_if(name, tombstone(), IfMatch=etag)
    if buried is None:
        return False
    await requests.delete(name, buried)
    return True


async def delete_expired(requests: Requests, name: str, seen: Seen) -> None:
    """Delete the object that a look found expired, unless a live one has taken its place."""
    found = await requests.confirm(name, seen)
    if found is not None and not found.is_live:
        await requests.delete(name, found.etag)


def _contended() -> StoreConnectionError:
    return StoreConnectionError(f"others have changed the entry {_ATTEMPTS} times meanwhile")
