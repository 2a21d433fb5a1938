"""Listing keys, in pages or all at once."""

from abc import abstractmethod
from typing import ClassVar

from key_value.aio.core.marks import marked, unmarked
from key_value.aio.core.names import checked_key_prefix
from key_value.aio.core.type_checks import checked_limit, checked_text
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncScanProtocol, KeyPage
from key_value.aio.stores.base.names import restored
from key_value.aio.stores.base.store import BaseStore

__all__ = ["BaseScanStore"]

_PAGE_SIZE = 1000


class BaseScanStore(BaseStore, AsyncScanProtocol, AsyncEnumerateKeysProtocol):
    """A store that lists the keys of a collection page by page."""

    scan_repeats: ClassVar[bool] = False
    """Whether a scan can return a key twice, so that `keys` must track the keys it has returned."""

    keys_page_size: ClassVar[int] = _PAGE_SIZE
    """The page size that `keys` uses. Raise it if each page reads the whole collection."""

    @abstractmethod
    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        """Return about `limit` stored names of live keys that begin with the stored `prefix`, and the next cursor.

        The cursor is any text that the hook chooses. It comes back unchanged, unless an attacker forges it: raise
        ValueError for an invalid one. A full scan must return every key that stays live throughout at least once. If
        all names are in memory anyway, one page may hold all of them.
        """

    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = _PAGE_SIZE
    ) -> KeyPage:
        _, stored_collection = self._names(collection)
        prefix = checked_key_prefix(prefix)
        if not checked_limit(limit):
            message = "limit must be at least 1"
            raise ValueError(message)
        owner = (type(self).__qualname__, stored_collection, prefix)
        position = None if cursor is None else _position(cursor, owner)
        await self._prepare(stored_collection)
        page = await self._restored_page(stored_collection, prefix, position, limit)
        return KeyPage(page.keys, None if page.cursor is None else marked(page.cursor, *owner))

    async def keys(self, collection: str | None = None, *, limit: int | None = None) -> list[str]:
        _, stored_collection = self._names(collection)
        if checked_limit(limit) == 0:
            return []
        await self._prepare(stored_collection)
        size = self.keys_page_size if limit is None else min(limit, self.keys_page_size)
        position = None
        keys: list[str] = []
        seen: set[str] = set()
        while True:
            found, position = await self._restored_page(stored_collection, "", position, size)
            if self.scan_repeats:
                found = [key for key in dict.fromkeys(found) if key not in seen]
                seen.update(found)
            keys += found
            if position is None or (limit is not None and len(keys) >= limit):
                return keys[:limit]

    async def _restored_page(self, collection: str, prefix: str, position: str | None, limit: int) -> KeyPage:
        # A strategy may not preserve prefixes, so the backend cannot filter by them.
        stored_prefix = prefix if self._key_strategy is None else ""
        page = await self._translated(
            self._get_key_page(collection=collection, prefix=stored_prefix, cursor=position, limit=limit)
        )
        if self._key_strategy is None:
            return page
        keys = restored(self._key_strategy, page.keys)
        return KeyPage([key for key in keys if key.startswith(prefix)], page.cursor)


def _position(cursor: str, owner: tuple[str, ...]) -> str:
    position = unmarked(checked_text(cursor, "cursor"), *owner)
    if position is None:
        message = "cursor does not come from a scan of this collection and prefix"
        raise ValueError(message)
    return position
