"""A directory with a database, used from the event loop through a reading and a writing thread."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from key_value.aio.core.clock import from_microseconds
from key_value.aio.core.codec import decode_value, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.disk.connections import Connections
from key_value.aio.stores.disk.database import Database, Found
from key_value.aio.stores.disk.location import Location, NotPreparedError
from key_value.aio.stores.disk.transactions import Target, Writing, commit_together, write
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["AsyncDatabase", "Threads"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_USES_KEPT = 1000


class Threads:
    """A reading and a writing thread, for any number of directories; each starts with its first call."""

    def __init__(self) -> None:
        # A child would take the locks of what it finds open for its own: https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
        self.reader: Worker[Connections] = Worker(_open_reading, Connections.close, close_before_fork=True)
        self.writer: Worker[Writing] = Worker(_open_writing, Writing.close, commit_together, close_before_fork=True)

    async def close(self) -> None:
        # SQLite removes the log when the last connection is closed that may write.
        await self.reader.close()
        await self.writer.close()


class AsyncDatabase:
    """Reads see earlier writes, and do not wait for later ones. Waiting writes share a commit.

    It turns errors of SQLite and of the file system into ours, which name the file.
    """

    def __init__(self, location: Location, threads: Threads) -> None:
        self._location = location
        self._threads = threads
        self._made = Target(location, create=True)
        self._found = Target(location, create=False)

    async def open(self) -> None:
        """Create the missing directory and database."""
        await self.write(_nothing)

    async def read(self, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Return what the function reads from the database, or from an empty one if there is none."""
        while True:
            try:
                result = await self._threads.reader.run(_read, time.monotonic(), self._location, function, *args)
                break
            except NotPreparedError:
                await self.open()
            except sqlite3.Error as exc:
                self._location.reraise(exc)
        if len(self._location.uses) > _USES_KEPT:
            await self.change(_nothing)
        return result

    async def write(self, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        return await self._write(self._made, function, *args)

    async def change(self, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Like `write`, but without creating a missing database, for calls that change nothing in an empty one."""
        return await self._write(self._found, function, *args)

    async def _write(self, target: Target, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        try:
            return await self._threads.writer.run(write, target, function, *args)
        except sqlite3.Error as exc:
            self._location.reraise(exc)

    def entry(self, found: Found) -> ManagedEntry:
        row, _, expires_at, encoded = found
        file = self._location.file
        if encoded is None:
            message = (
                f"row {row} of {file} was not JSON in the diskcache directory it comes from, and was not read: "
                "a pickle can run any code"
            )
            raise DeserializationError(message)
        try:
            value = decode_value(encoded)
        except (ValueError, RecursionError):
            value = None
        if type(value) is not dict:
            value = load_object(encoded, f"the value in row {row} of {file}")
        return ManagedEntry.from_decoded(value, None, from_microseconds(expires_at), None, None)


def _open_reading() -> Connections:
    return Connections(Location.open_for_reading)


def _open_writing() -> Writing:
    return Writing(Location.open_for_writing)


def _read(
    connections: Connections,
    asked_at: float,
    location: Location,
    function: Callable[[Database, Unpack[Ts]], T],
    *args: Unpack[Ts],
) -> T:
    return function(connections.use(location, create=False, asked_at=asked_at), *args)


def _nothing(_: Database) -> None:
    """Change nothing; the transaction still does its regular work."""
