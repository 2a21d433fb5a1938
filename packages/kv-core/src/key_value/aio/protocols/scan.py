"""Listing the keys of a collection page by page."""

from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["AsyncScanProtocol", "KeyPage"]


class KeyPage(NamedTuple):
    """A page of keys, and the cursor of the next page, None on the last page."""

    keys: list[str]
    cursor: str | None


@runtime_checkable
class AsyncScanProtocol(Protocol):
    """A store that lists the keys of a collection in pages, holding one page in memory."""

    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        """Return a page of the live keys that begin with `prefix`, from the start or from the previous page's cursor.

        A full scan returns every key that stays live throughout at least once, in no particular order. A page has
        about `limit` keys and may be empty; only the last page has no cursor. A cursor is opaque text, valid for the
        same collection and prefix, in other processes too.

        Raises ValueError for a cursor of another collection or prefix, and for a limit below one.
        """
        ...
