"""Pages of the files of a directory, which has no order and must be listed each time."""

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from secrets import token_hex
from typing import NamedTuple

__all__ = ["Listing", "Listings", "Position", "first_names"]

# Names are listed ahead so that a directory of 100 000 files is listed three times, not a hundred: about 70 bytes each.
_AHEAD = 50_000
_MOST_LISTINGS = 4

_STEP = 256

# A name can have three: as all file systems, as this one and as py-key-value-aio spell it.
_PLACES = "012"


class Position(NamedTuple):
    """The start of a page: the place of the collection, and the file before the page."""

    listing: str = ""
    place: int = 0
    last: str = ""

    @classmethod
    def parse(cls, cursor: str | None) -> "Position":
        """Parse the result of `str`. Raises ValueError for any other text."""
        if cursor is None:
            return cls()
        listing, _, rest = cursor.partition("/")
        place, separator, last = rest.partition("/")
        if not separator or place not in _PLACES:
            message = "cursor does not come from a scan"
            raise ValueError(message)
        return cls(listing, int(place), last)

    def in_next_place(self) -> "Position":
        return Position("", self.place + 1)

    def __str__(self) -> str:
        return f"{self.listing}/{self.place}/{self.last}"


class Listing(NamedTuple):
    """The first names after a given one, sorted, and whether there are more."""

    names: list[str]
    is_complete: bool

    def after(self, last: str, limit: int) -> list[str]:
        start = bisect_right(self.names, last)
        return self.names[start : start + limit]

    def is_exhausted(self, last: str) -> bool:
        """Whether names after the last one are missing here."""
        return not self.is_complete and last >= self.names[-1]

    def is_last(self, names: Sequence[str]) -> bool:
        """Whether no name comes after these, which `after` gave."""
        return self.is_complete and (not names or names[-1] == self.names[-1])


class Listings:
    """The listings of current scans. A dropped one is listed again."""

    def __init__(self) -> None:
        self._listings: OrderedDict[str, Listing] = OrderedDict()

    def add(self, listing: Listing) -> str:
        """The listing's token: a scan of another moment, which must see other names, has another."""
        token = token_hex(8)
        self._listings[token] = listing
        if len(self._listings) > _MOST_LISTINGS:
            self._listings.popitem(last=False)
        return token

    def get(self, token: str) -> Listing | None:
        if token in self._listings:
            self._listings.move_to_end(token)
        return self._listings.get(token)

    def discard(self, token: str) -> None:
        self._listings.pop(token, None)


def first_names(names: Iterator[str], last: str) -> Generator[None, None, Listing]:
    """The first of the names after the last one, in memory for no more than twice as many. Stops now and then."""
    first: list[str] = []
    most: str | None = None
    for number, name in enumerate(names):
        if name > last and (most is None or name < most):
            first.append(name)
            if len(first) == 2 * _AHEAD:
                first.sort()
                del first[_AHEAD:]
                most = first[-1]
        if number % _STEP == 0:
            yield
    first.sort()
    is_complete = most is None and len(first) <= _AHEAD
    return Listing(first[:_AHEAD], is_complete)
