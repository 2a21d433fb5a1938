"""Iteration over the keys or entries of a collection, holding one page in memory."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import Any, NamedTuple

from key_value.aio.core.names import checked_key_prefix
from key_value.aio.core.type_checks import checked_limit
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncKeyValue, AsyncScanProtocol

__all__ = ["Entry", "iterate_entries", "iterate_keys"]

_PAGE = 1000


class Entry(NamedTuple):
    """A key, its value and its remaining seconds, None for an entry that never expires."""

    key: str
    value: dict[str, Any]
    ttl: float | None


async def iterate_keys(
    store: AsyncKeyValue, collection: str | None = None, *, prefix: str = "", page_size: int = _PAGE
) -> AsyncGenerator[str, None]:
    """Iterate over the live keys of a collection that begin with `prefix`, on any store that has `scan` or `keys`.

    With `scan`, it reads pages of about `page_size` keys, and yields every key that stays live at least once. With only
    `keys`, it holds all keys in memory. Raises TypeError for a store with neither, and ValueError for a page size below
    one.
    """
    async with aclosing(_pages(store, collection, prefix, page_size)) as pages:
        async for page in pages:
            for key in page:
                yield key


async def iterate_entries(
    store: AsyncKeyValue, collection: str | None = None, *, prefix: str = "", page_size: int = _PAGE
) -> AsyncGenerator[Entry, None]:
    """Iterate over the live entries of the keys from `iterate_keys`, reading each page with one `ttl_many`.

    An entry removed during the iteration may be missing; a replaced one has its old or new value.
    """
    async with aclosing(_pages(store, collection, prefix, page_size)) as pages:
        async for page in pages:
            # `keys`, and `scan` of a store with all names in memory, return them as one page.
            for keys in _batches(page, page_size):
                for key, (value, ttl) in zip(keys, await store.ttl_many(keys, collection=collection), strict=True):
                    if value is not None:
                        yield Entry(key, value, ttl)


async def _pages(
    store: AsyncKeyValue, collection: str | None, prefix: str, page_size: int
) -> AsyncGenerator[Sequence[str], None]:
    prefix = checked_key_prefix(prefix)
    if not checked_limit(page_size):
        message = "page_size must be at least 1"
        raise ValueError(message)
    if isinstance(store, AsyncScanProtocol):
        cursor = None
        while True:
            keys, cursor = await store.scan(collection, prefix=prefix, cursor=cursor, limit=page_size)
            yield keys
            if cursor is None:
                return
    if not isinstance(store, AsyncEnumerateKeysProtocol):
        message = f"{store!r} satisfies neither AsyncScanProtocol nor AsyncEnumerateKeysProtocol, so it lists no keys"
        raise TypeError(message)
    yield [key for key in await store.keys(collection) if key.startswith(prefix)]


def _batches(keys: Sequence[str], size: int) -> Iterator[list[str]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, size)):
        yield batch
