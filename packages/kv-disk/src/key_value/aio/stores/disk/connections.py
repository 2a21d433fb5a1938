"""The open databases of a thread."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from key_value.aio.core.forks import new_lock
from key_value.aio.stores.disk.database import Database
from key_value.aio.stores.disk.location import Location

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Connections"]

# Each takes three files: the database, its log, and the index of the log.
_MOST_OPEN = 6


# SQLite's locks do not keep two of one process from each other that open files of one name. Where the first is removed
# before it is open, both map the index of the second, one cuts it off, and the other gets SIGBUS.
_turns = tuple(new_lock() for _ in range(64))


class Connections:
    """Opens databases as they are used; beyond six, it closes the least recently used one.

    A lost database is no longer used; the one in its place is.
    """

    def __init__(self, open_database: Callable[[Location], Database]) -> None:
        self._open_database = open_database
        self._open: OrderedDict[Path, Database] = OrderedDict()
        self._nothing: Database | None = None

    def use(self, location: Location, *, create: bool, asked_at: float | None = None) -> Database:
        """Return the database of the location, opened if necessary; without `create`, an empty one if it is missing.

        With `asked_at`, a time of `time.monotonic`, it was not lost at that time. Raises the errors of opening.
        """
        database = self._open.get(location.path)
        if database is not None and asked_at is not None and _is_outdated(database, location, asked_at):
            self.discard(location)
            database = None
        if database is not None:
            self._open.move_to_end(location.path)
            return database
        if not create and not location.holds_something():
            if self._nothing is None:
                self._nothing = Database.without_entries()
            return self._nothing
        while len(self._open) >= _MOST_OPEN:
            self._open.popitem(last=False)[1].close()
        openings = location.openings
        with _turns[hash(location.path) % len(_turns)]:
            database = self._open[location.path] = self._open_database(location)
        database.opening = openings
        return database

    def discard(self, location: Location) -> None:
        database = self._open.pop(location.path, None)
        if database is not None:
            # They name rows of what was lost.
            location.uses.clear()
            database.close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
        if self._nothing is not None:
            self._nothing.close()


def _is_outdated(database: Database, location: Location, asked_at: float) -> bool:
    # Calls that wait together share the look at the file.
    return database.opening != location.openings or (asked_at >= database.looked_at and database.is_lost())
