"""Walking over the objects of a bucket, and telling which of them are entries."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from key_value.aio.errors import DeserializationError
from key_value.aio.stores.s3.bucket import Bucket, Listing, Requests
from key_value.aio.stores.s3.entries import Seen
from key_value.aio.stores.s3.names import Names

__all__ = ["PAGE", "Found", "all_pages", "collection_prefixes", "found_of"]

PAGE = 1000


class Found(NamedTuple):
    """An entry that was found by its name."""

    name: str
    collection: str
    key: str
    seen: Seen


async def all_pages(bucket: Bucket, prefix: str, *, size: int = PAGE) -> AsyncGenerator[list[str], None]:
    """The names that begin with the prefix, page by page."""
    page = Listing([], [], "")
    while page.following is not None:
        async with bucket.limit() as requests:
            page = await requests.list(prefix, position=page.following, limit=size)
        yield page.names


async def collection_prefixes(bucket: Bucket) -> AsyncGenerator[str, None]:
    """What the names of the collections' entries begin with, a collection each."""
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


async def found_of(
    requests: Requests, names: Names, name: str, stored_names: Callable[[str, str], tuple[str, str]]
) -> Found | None:
    """The entry of this name; None for an object that is none, or is another's.

    `stored_names` gives those of the names that are in the entry.
    """
    split = names.split(name)
    if split is None:
        return None
    collection, key = split
    if collection is None or key is None:
        return await _hashed(requests, names, name, stored_names)
    seen = await requests.look(name)
    return Found(name, collection, key, seen) if seen is not None and seen.is_entry else None


async def _hashed(
    requests: Requests, names: Names, name: str, stored_names: Callable[[str, str], tuple[str, str]]
) -> Found | None:
    """A digest does not tell the names, and the entry does."""
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
    return Found(name, collection, key, stored.seen._replace(is_entry=True, expires_at=entry.expires_at))
