"""Listing the keys of a collection page by page."""

from typing import NamedTuple, Protocol, runtime_checkable

__all__ = ["AsyncScanProtocol", "KeyPage"]


class KeyPage(NamedTuple):
    """Some of the keys, and the cursor of the next page; None after the last page."""

    keys: list[str]
    cursor: str | None


@runtime_checkable
class AsyncScanProtocol(Protocol):
    """A store that lists the keys of a collection in pages, with one page in memory."""

    async def scan(
        self, collection: str | None = None, *, prefix: str = "", cursor: str | None = None, limit: int = 1000
    ) -> KeyPage:
        """Return a page of the live keys that begin with `prefix`, from the start or from the previous page's cursor.

        Every key that is live during the whole scan comes at least once, in no particular order. A page has about
        `limit` keys; any page may be empty, and the one without a cursor is the last. A cursor is opaque text from
        which another process may continue; it belongs to this collection and prefix.

        Raises ValueError for a cursor of another scan, and for a limit below one.
        """
        ...
