"""Access to a database from the event loop, through a reader thread and a writer thread."""

import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

from key_value.aio.core.clock import from_microseconds
from key_value.aio.core.codec import decode_value, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.disk.connections import ConnectionCache
from key_value.aio.stores.disk.database import Found, SQLiteDatabase
from key_value.aio.stores.disk.location import Location, NotPreparedError
from key_value.aio.stores.disk.transactions import Target, WriterConnectionCache, group_commit, write
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["AsyncDatabase", "ReaderWriterThreads"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MAX_PENDING_USES = 1000


class ReaderWriterThreads:
    """A reader and a writer thread for any number of databases. Each thread starts at its first call."""

    def __init__(self) -> None:
        # An inherited open database would use the locks of the parent as its own: https://sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
        self.reader: Worker[ConnectionCache] = Worker(_open_reader, ConnectionCache.close, close_before_fork=True)
        self.writer: Worker[WriterConnectionCache] = Worker(
            _open_writer, WriterConnectionCache.close, group_commit, close_before_fork=True
        )

    async def close(self) -> None:
        # The writer last: SQLite removes the write-ahead log when the last connection that may write closes.
        await self.reader.close()
        await self.writer.close()


class AsyncDatabase:
    """A database used from the event loop. Reads see earlier writes and do not wait for later ones.

    Queued writes share a commit. Errors of SQLite and of the file system are raised as the library's own, with the file
    name.
    """

    def __init__(self, location: Location, threads: ReaderWriterThreads) -> None:
        self._location = location
        self._threads = threads
        self._target_created = Target(location, create=True)
        self._target_existing = Target(location, create=False)

    async def open(self) -> None:
        """Create the directory and the database if missing."""
        await self.write(_no_op)

    async def read(self, function: Callable[[SQLiteDatabase, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Return the function's result on the database, or on an empty one if it does not exist."""
        while True:
            try:
                result = await self._threads.reader.run(_read, time.monotonic(), self._location, function, *args)
                break
            except NotPreparedError:
                await self.open()
            except sqlite3.Error as exc:
                self._location.reraise(exc)
        if len(self._location.pending_uses) > _MAX_PENDING_USES:
            await self.change(_no_op)
        return result

    async def write(self, function: Callable[[SQLiteDatabase, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Run the function in a transaction, after creating the database if missing."""
        return await self._write(self._target_created, function, *args)

    async def change(self, function: Callable[[SQLiteDatabase, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        """Like `write`, but without creating a missing database, for calls that have no effect on an empty one."""
        return await self._write(self._target_existing, function, *args)

    async def _write(self, target: Target, function: Callable[[SQLiteDatabase, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        try:
            return await self._threads.writer.run(write, target, function, *args)
        except sqlite3.Error as exc:
            self._location.reraise(exc)

    def entry(self, found: Found) -> ManagedEntry:
        row, _, expires_at, encoded = found
        file = self._location.file
        if encoded is None:
            message = (
                f"row {row} of {file} was not JSON in the diskcache directory it was imported from, and was not read: "
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


def _open_reader() -> ConnectionCache:
    return ConnectionCache(Location.open_for_reading)


def _open_writer() -> WriterConnectionCache:
    return WriterConnectionCache(Location.open_for_writing)


def _read(
    connections: ConnectionCache,
    requested_at: float,
    location: Location,
    function: Callable[[SQLiteDatabase, Unpack[Ts]], T],
    *args: Unpack[Ts],
) -> T:
    return function(connections.use(location, create=False, requested_at=requested_at), *args)


def _no_op(_: SQLiteDatabase) -> None:
    """Do nothing; the transaction still records uses, sweeps and evicts."""
