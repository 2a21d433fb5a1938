"""The open databases of a thread."""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from key_value.aio.core.forks import new_lock
from key_value.aio.stores.disk.database import SQLiteDatabase
from key_value.aio.stores.disk.location import Location

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["ConnectionCache"]

# Each database has three open files: the database, its write-ahead log, and the index of the log.
_MAX_OPEN_DATABASES = 6

# SQLite's locks do not exclude two threads of one process that open files of the same name. If the first file is
# removed while it is being opened, both threads map the index of the second; one truncates it, and the other gets
# SIGBUS.
_open_locks = tuple(new_lock() for _ in range(64))


class ConnectionCache:
    """Opens databases on demand, and keeps the six most recently used ones open.

    A database whose file was removed or replaced is closed; the next use opens the file now at its path.
    """

    def __init__(self, open_database: Callable[[Location], SQLiteDatabase]) -> None:
        self._open_database = open_database
        self._open: OrderedDict[Path, SQLiteDatabase] = OrderedDict()
        self._empty: SQLiteDatabase | None = None

    def use(self, location: Location, *, create: bool, requested_at: float | None = None) -> SQLiteDatabase:
        """Return the open database of the location. Without `create`, return an empty one if it does not exist.

        With `requested_at`, a `time.monotonic` time, the database was not lost at that time. Raises the errors of
        opening.
        """
        database = self._open.get(location.path)
        if database is not None and requested_at is not None and _is_outdated(database, location, requested_at):
            self.discard(location)
            database = None
        if database is not None:
            self._open.move_to_end(location.path)
            return database
        if not create and not location.has_data():
            if self._empty is None:
                self._empty = SQLiteDatabase.empty()
            return self._empty
        while len(self._open) >= _MAX_OPEN_DATABASES:
            self._open.popitem(last=False)[1].close()
        generation = location.generation
        with _open_locks[hash(location.path) % len(_open_locks)]:
            database = self._open[location.path] = self._open_database(location)
        database.generation = generation
        return database

    def discard(self, location: Location) -> None:
        database = self._open.pop(location.path, None)
        if database is not None:
            # They are row ids of the lost database.
            location.pending_uses.clear()
            database.close()

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()
        if self._empty is not None:
            self._empty.close()


def _is_outdated(database: SQLiteDatabase, location: Location, requested_at: float) -> bool:
    # Calls that were queued together share one check of the file.
    return database.generation != location.generation or (requested_at >= database.checked_at and database.is_lost())
