"""Pages of the files of a directory. Directories have no order, so each listing reads all names."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from secrets import token_hex
from typing import NamedTuple

__all__ = ["Listing", "Listings", "Position", "first_names"]

# Listing ahead reads a directory of 100 000 files three times instead of a hundred. A name takes about 70 bytes.
_MAX_LISTED_NAMES = 50_000
_MAX_LISTINGS = 4

_NAMES_PER_STEP = 256

# A collection can have three directories: its portable, exact and unescaped (py-key-value-aio) names.
_DIRECTORY_INDICES = "012"


class Position(NamedTuple):
    """The start of a page: listing token, index of the collection's directory, and last file before the page."""

    listing: str = ""
    directory_index: int = 0
    last: str = ""

    @classmethod
    def parse(cls, cursor: str | None) -> "Position":
        """Parse the result of `str`. Raises ValueError for any other text."""
        if cursor is None:
            return cls()
        listing, _, rest = cursor.partition("/")
        directory_index, separator, last = rest.partition("/")
        if not separator or directory_index not in _DIRECTORY_INDICES:
            message = "cursor does not come from a scan"
            raise ValueError(message)
        return cls(listing, int(directory_index), last)

    def in_next_directory(self) -> "Position":
        return Position("", self.directory_index + 1)

    def __str__(self) -> str:
        return f"{self.listing}/{self.directory_index}/{self.last}"


class Listing(NamedTuple):
    """The first names after a given one, sorted, and whether these are all of them."""

    names: list[str]
    is_complete: bool

    def after(self, last: str, limit: int) -> list[str]:
        start = bisect_right(self.names, last)
        return self.names[start : start + limit]

    def is_exhausted(self, last: str) -> bool:
        """Whether names after `last` exist that are not in this listing."""
        return not self.is_complete and last >= self.names[-1]

    def is_last(self, names: Sequence[str]) -> bool:
        """Whether no name follows these, which `after` returned."""
        return self.is_complete and (not names or names[-1] == self.names[-1])


class Listings:
    """A cache of the listings of current scans. A scan whose listing was dropped lists again."""

    def __init__(self) -> None:
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def add(self, listing: Listing) -> str:
        """Add a listing and return its token. Scans share no listings, because a later scan must see newer names."""
        token = token_hex(8)
        self._listings[token] = listing
        if len(self._listings) > _MAX_LISTINGS:
            self._listings.popitem(last=False)
        return token

    def get(self, token: str) -> Listing | None:
        if token in self._listings:
            self._listings.move_to_end(token)
        return self._listings.get(token)

    def discard(self, token: str) -> None:
        self._listings.pop(token, None)


def first_names(names: Iterator[str], last: str) -> Generator[None, None, Listing]:
    """Return the first names after `last`, keeping at most twice as many in memory. Yields now and then."""
    first: list[str] = []
    last_kept: str | None = None
    for number, name in enumerate(names):
        if name > last and (last_kept is None or name < last_kept):
            first.append(name)
            if len(first) == 2 * _MAX_LISTED_NAMES:
                first.sort()
                del first[_MAX_LISTED_NAMES:]
                last_kept = first[-1]
        if number % _NAMES_PER_STEP == 0:
            yield
    first.sort()
    is_complete = last_kept is None and len(first) <= _MAX_LISTED_NAMES
    return Listing(first[:_MAX_LISTED_NAMES], is_complete)
