"""Group commit: queued writes to the same database share a transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

from key_value.aio.core.worker import Job
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.disk.connections import ConnectionCache
from key_value.aio.stores.disk.database import SQLiteDatabase
from key_value.aio.stores.disk.location import Location
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["Target", "WriterConnectionCache", "group_commit", "write"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_MAX_ATTEMPTS = 3


class WriterConnectionCache(ConnectionCache):
    """The connections of the writer thread, and the database of the current transaction."""

    database: SQLiteDatabase


class Target(NamedTuple):
    """The database that a call writes to."""

    location: Location
    create: bool
    """Whether a missing database is created."""


def write(
    connections: WriterConnectionCache,
    _target: Target,
    function: Callable[[SQLiteDatabase, Unpack[Ts]], T],
    *args: Unpack[Ts],
) -> T:
    """Call the function in the writer thread. `group_commit` groups calls by their target."""
    return function(connections.database, *args)


def group_commit(connections: WriterConnectionCache, calls: Sequence[Job[WriterConnectionCache]]) -> None:
    """Run the calls for each database in one transaction; if one fails, retry each in its own transaction.

    A caller gets an error only if its own call was not committed, and success only if the file still exists.
    """
    calls_by_location: dict[Location, list[Job[WriterConnectionCache]]] = {}
    for call in calls:
        calls_by_location.setdefault(_target(call).location, []).append(call)
    for location, location_calls in calls_by_location.items():
        _commit(connections, location, location_calls)


def _commit(
    connections: WriterConnectionCache, location: Location, calls: Sequence[Job[WriterConnectionCache]]
) -> None:
    create = any(_target(call).create for call in calls)
    for _ in range(_MAX_ATTEMPTS):
        try:
            database = connections.database = connections.use(location, create=create)
        except BaseException as exc:  # noqa: BLE001 — the callers get it
            _fail(calls, exc)
            return
        if not _try_commit(connections, calls) and len(calls) > 1:
            for call in calls:
                _try_commit(connections, [call])
        # If the file was removed before the transaction ended, so was the data just written: try again.
        if not database.is_lost():
            if database.has_lost_wal():
                _checkpoint_wal(connections, location, calls)
            return
        connections.discard(location)
    _fail(calls, StoreConnectionError(f"{location.file} was removed during each attempt to write it"))


def _try_commit(connections: WriterConnectionCache, calls: Sequence[Job[WriterConnectionCache]]) -> bool:
    """Run the calls in one transaction; return whether it was committed. If not, all of them get the error."""
    database = connections.database
    error: BaseException | None = None
    try:
        database.begin()
        for call in calls:
            call.make(connections)
            error = call.error
            if error is not None:
                break
        else:
            database.commit()
    except BaseException as exc:  # noqa: BLE001 — the callers get it
        error = exc
    if error is None:
        return True
    _fail(calls, error)
    # If the rollback fails, so does the next transaction, and raises the error.
    with suppress(sqlite3.Error):
        database.roll_back()
    return False


def _checkpoint_wal(
    connections: WriterConnectionCache, location: Location, calls: Sequence[Job[WriterConnectionCache]]
) -> None:
    try:
        is_saved = connections.database.checkpoint_wal()
    except sqlite3.Error:
        is_saved = False
    if not is_saved:
        _fail(
            calls, StoreConnectionError(f"{location.file}: its write-ahead log was removed, and the data in it is lost")
        )
    connections.discard(location)
    location.generation += 1


def _target(call: Job[WriterConnectionCache]) -> Target:
    return cast("Target", call.arguments[0])


def _fail(calls: Sequence[Job[Any]], error: BaseException) -> None:
    for call in calls:
        call.error = error
