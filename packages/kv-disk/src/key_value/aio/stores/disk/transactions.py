"""Waiting writes share a transaction."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar, cast

from key_value.aio.core.worker import Job
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.disk.connections import Connections
from key_value.aio.stores.disk.database import Database
from key_value.aio.stores.disk.location import Location
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["Target", "Writing", "commit_together", "write"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_ATTEMPTS = 3


class Writing(Connections):
    """The connections of the writing thread, and the database of the current transaction."""

    database: Database


class Target(NamedTuple):
    """The database of a call."""

    location: Location
    create: bool
    """Whether a missing database is created."""


def write(
    connections: Writing,
    _target: Target,
    function: Callable[[Database, Unpack[Ts]], T],
    *args: Unpack[Ts],
) -> T:
    """A call of the writing thread. Its target tells `commit_together` which transaction it belongs to."""
    return function(connections.database, *args)


def commit_together(connections: Writing, calls: Sequence[Job[Writing]]) -> None:
    """Make the calls about one database in one transaction; or, where one of them fails, each in one of its own.

    No caller hears of an error when its own call was committed, nor of success when the file is not there any more.
    """
    of_locations: dict[Location, list[Job[Writing]]] = {}
    for call in calls:
        of_locations.setdefault(_target(call).location, []).append(call)
    for location, its_calls in of_locations.items():
        _commit(connections, location, its_calls)


def _commit(connections: Writing, location: Location, calls: Sequence[Job[Writing]]) -> None:
    create = any(_target(call).create for call in calls)
    for _ in range(_ATTEMPTS):
        try:
            database = connections.database = connections.use(location, create=create)
        except BaseException as exc:  # noqa: BLE001 — the callers get it
            _fail(calls, exc)
            return
        if not _committed(connections, calls) and len(calls) > 1:
            for call in calls:
                _committed(connections, [call])
        # Whoever removed a file that was in use before the transaction ended, has removed what was just written.
        if not database.is_lost():
            if database.has_lost_log():
                _save_log(connections, location, calls)
            return
        connections.discard(location)
    _fail(calls, StoreConnectionError(f"{location.file} is removed as soon as it is written"))


def _committed(connections: Writing, calls: Sequence[Job[Writing]]) -> bool:
    """Whether the calls were made and committed, all of them; otherwise each has the error, and none was made."""
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
    # Where it fails, so does the next transaction, and tells.
    with suppress(sqlite3.Error):
        database.roll_back()
    return False


def _save_log(connections: Writing, location: Location, calls: Sequence[Job[Writing]]) -> None:
    try:
        is_saved = connections.database.save_log()
    except sqlite3.Error:
        is_saved = False
    if not is_saved:
        _fail(calls, StoreConnectionError(f"{location.file}: its log was removed, and what it held is lost"))
    connections.discard(location)
    location.openings += 1


def _target(call: Job[Writing]) -> Target:
    return cast("Target", call.arguments[0])


def _fail(calls: Sequence[Job[Any]], error: BaseException) -> None:
    for call in calls:
        call.error = error
