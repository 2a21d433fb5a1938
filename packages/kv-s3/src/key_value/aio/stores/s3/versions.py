"""Writing and deleting an object on the condition that it is unchanged."""

from typing import Any

from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.s3.bucket import Requests
from key_value.aio.stores.s3.entries import ObjectInfo, tombstone
from key_value.aio.stores.s3.server import Facts

__all__ = ["delete_exactly", "delete_expired", "delete_if", "put_if_absent", "put_if_etag"]

_MAX_ATTEMPTS = 100


async def put_if_etag(requests: Requests, name: str, parameters: dict[str, Any], etag: str) -> bool:
    return await requests.put_if(name, parameters, IfMatch=etag) is not None


async def put_if_absent(requests: Requests, name: str, parameters: dict[str, Any]) -> bool:
    """Write the entry unless there is a live one. Return whether it was written."""
    for _ in range(_MAX_ATTEMPTS):
        if await requests.put_if(name, parameters, IfNoneMatch="*") is not None:
            return True
        found = await requests.inspect(name)
        if found is not None and not found.is_live:
            found = await requests.confirm(name, found)
        if found is None:
            continue  # deleted meanwhile
        if found.is_live:
            return False
        if await requests.put_if(name, parameters, IfMatch=found.etag) is not None:
            return True
    raise _contention_error()


async def delete_exactly(requests: Requests, facts: Facts, name: str) -> bool:
    """Delete the object. Return whether it was live and this call deleted it, as far as the server reports that."""
    for _ in range(_MAX_ATTEMPTS):
        found = await requests.inspect(name)
        if found is None:
            return False
        if not facts.conditions:
            await requests.delete(name)
            return found.is_live
        if not facts.exact_deletes:
            found = await requests.confirm(name, found)
        if found is not None and await delete_if(requests, facts, name, found.etag):
            return found.is_live
    raise _contention_error()


async def delete_if(requests: Requests, facts: Facts, name: str, etag: str) -> bool:
    if facts.exact_deletes:
        return await requests.delete(name, etag)
    # The server reports success for the conditional deletion of a missing object, so several concurrent deletions could
    # succeed. Of several conditional writes of a tombstone, only one succeeds.
    tombstone_etag = await requests.put_if(name, tombstone(), IfMatch=etag)
    if tombstone_etag is None:
        return False
    await requests.delete(name, tombstone_etag)
    return True


async def delete_expired(requests: Requests, name: str, info: ObjectInfo) -> None:
    """Delete an expired object, unless a live one has replaced it."""
    found = await requests.confirm(name, info)
    if found is not None and not found.is_live:
        await requests.delete(name, found.etag)


def _contention_error() -> StoreConnectionError:
    return StoreConnectionError(f"other clients kept writing the entry during {_MAX_ATTEMPTS} attempts")
