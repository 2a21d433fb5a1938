"""Listing of the objects of a bucket, and detection of entries among them."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from key_value.aio.errors import DeserializationError
from key_value.aio.stores.s3.bucket import Bucket, Listing, Requests
from key_value.aio.stores.s3.entries import ObjectInfo
from key_value.aio.stores.s3.names import Names

__all__ = ["MAX_PAGE_NAMES", "FoundEntry", "all_pages", "collection_prefixes", "find_entry"]

MAX_PAGE_NAMES = 1000


class FoundEntry(NamedTuple):
    """An entry found under an object name."""

    name: str
    collection: str
    key: str
    info: ObjectInfo


async def all_pages(bucket: Bucket, prefix: str, *, size: int = MAX_PAGE_NAMES) -> AsyncGenerator[list[str], None]:
    """Yield the names that begin with the prefix in pages."""
    page = Listing([], [], "")
    while page.following is not None:
        async with bucket.limit() as requests:
            page = await requests.list(prefix, position=page.following, limit=size)
        yield page.names


async def collection_prefixes(bucket: Bucket) -> AsyncGenerator[str, None]:
    """Yield the common name prefix of each collection's entries."""
    async with aclosing(_prefixes(bucket, "")) as found:
        async for prefix in found:
            if prefix != "/":
                yield prefix
                continue
            async with aclosing(_prefixes(bucket, "/")) as escaped:
                async for each in escaped:
                    yield each


async def _prefixes(bucket: Bucket, begin: str) -> AsyncGenerator[str, None]:
    page = Listing([], [], "")
    while page.following is not None:
        async with bucket.limit() as requests:
            page = await requests.list(begin, position=page.following, delimiter="/")
        for prefix in page.prefixes:
            yield prefix


async def find_entry(
    requests: Requests, names: Names, name: str, stored_names: Callable[[str, str], tuple[str, str]]
) -> FoundEntry | None:
    """Return the entry with this name; None for an object that is not an entry of this store.

    `stored_names` maps the collection and key in an entry to their stored forms.
    """
    split = names.split(name)
    if split is None:
        return None
    collection, key = split
    if collection is None or key is None:
        return await _found_by_digest(requests, names, name, stored_names)
    info = await requests.inspect(name)
    return FoundEntry(name, collection, key, info) if info is not None and info.is_entry else None


async def _found_by_digest(
    requests: Requests, names: Names, name: str, stored_names: Callable[[str, str], tuple[str, str]]
) -> FoundEntry | None:
    """Return the entry under a hashed name, whose collection and key only the entry contains."""
    stored = await requests.get(name)
    if stored is None:
        return None
    try:
        entry = stored.load()
    except DeserializationError:
        return None
    if not entry.collection or not entry.key:
        return None
    collection, key = stored_names(entry.collection, entry.key)
    if names.name(collection, key) != name:
        return None
    return FoundEntry(name, collection, key, stored.info._replace(is_entry=True, expires_at=entry.expires_at))
