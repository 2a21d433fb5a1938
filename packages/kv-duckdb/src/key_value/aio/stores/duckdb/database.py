"""The one module that talks to DuckDB: opens databases, runs the statements on a table, knows the driver's errors."""

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError

import duckdb
from duckdb import DuckDBPyConnection

__all__ = ["DRIVER_ERRORS", "Connection", "Database", "DatabaseOfConnection", "DatabaseOfPath", "Entries"]

T = TypeVar("T")

Connection = DuckDBPyConnection

DRIVER_ERRORS: DriverErrors = {
    # Another connection changed the same entries all the time that this one tried.
    duckdb.TransactionException: StoreConnectionError,
    # The connection that was passed in has been closed.
    duckdb.ConnectionException: StoreConnectionError,
    duckdb.Error: KeyValueStoreError,
}

_COLUMNS = {
    "collection": "VARCHAR",
    "key": "VARCHAR",
    "value": "JSON",
    "created_at": "TIMESTAMP WITH TIME ZONE",
    "expires_at": "TIMESTAMP WITH TIME ZONE",
    "version": "INTEGER",
}
_CREATE = """
CREATE TABLE IF NOT EXISTS {} (
    collection VARCHAR, key VARCHAR, value JSON NOT NULL, created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ,
    version INTEGER NOT NULL, PRIMARY KEY (collection, key)
)"""

_INTO = "INSERT OR REPLACE INTO {} (collection, key, value, created_at, expires_at, version)"
# Times are read as microseconds: as datetimes the driver makes them with pytz, which it does not bring along.
# Each column costs a reader 30 µs, and none asks when the entry was created.
_STATEMENTS = {
    "get": "SELECT value, version, epoch_us(expires_at) FROM {} WHERE collection = ? AND key = ?",
    "get_many": "SELECT key, value, version, epoch_us(expires_at) FROM {} "
    "WHERE collection = ? AND key IN (SELECT unnest(?))",
    "put": f"{_INTO} VALUES (?, ?, ?, ?, ?, 1)",
    "put_many": f"{_INTO} SELECT ?, unnest(?), unnest(?), ?, ?, 1",
    "delete": "DELETE FROM {} WHERE collection = ? AND key = ? RETURNING epoch_us(expires_at)",
    "delete_many": "DELETE FROM {} WHERE collection = ? AND key IN (SELECT unnest(?)) RETURNING epoch_us(expires_at)",
    "keys": "SELECT key FROM {} WHERE collection = ? AND (expires_at IS NULL OR expires_at > ?) LIMIT ?",
    "collections": "SELECT DISTINCT collection FROM {} WHERE expires_at IS NULL OR expires_at > ? LIMIT ?",
    "destroy_collection": "DELETE FROM {} WHERE collection = ?",
    "destroy": "DELETE FROM {}",
    "cull": "DELETE FROM {} WHERE expires_at <= ?",
}

_CONFLICTS = (duckdb.TransactionException, duckdb.ConstraintException)
_SECONDS_OF_TRYING = 2.0
_LONGEST_PAUSE = 0.05

_in_use: Counter[tuple[Path, int]] = Counter()
"""How many connections the stores of a process have to a file. A fork gets a copy of what its parent had."""


class Entries:
    """The table of entries, through a connection of its own. One thread uses it."""

    def __init__(self, database: "Database", table: str, *, create: bool) -> None:
        """Raises StoreSetupError when the database cannot be opened or the table cannot be used."""
        self._database = database
        self._where = database.where
        self._connection = database.connect()
        self._broken = False
        try:
            self._prepare(table, create=create)
            # Each parsed once, which saves 60 µs a call.
            self._statements: dict[str, Any] = {
                name: self._connection.extract_statements(sql.format(_quoted(table)))[0]
                for name, sql in _STATEMENTS.items()
            }
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Nothing more: it is open, and the table was looked at."""

    def run(self, statement: str, *parameters: Any) -> list[Any]:
        """The rows of one of the statements, each a transaction. Conflicts with other connections are tried again."""
        try:
            return _insist(lambda: self._execute(statement, parameters))
        except duckdb.Error as exc:
            if "Could not write" not in str(exc):
                raise
            message = f"the DuckDB database {self._where} cannot be written to, as when the disk is full"
            raise KeyValueStoreError(message) from exc

    def close(self) -> None:
        self._database.disconnect(self._connection)

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        if self._broken:
            self._connection = self._database.connect()
            self._broken = False
        try:
            return self._connection.execute(self._statements[statement], parameters).fetchall()
        except duckdb.FatalException:
            # DuckDB refuses every further use of a database after this, until all connections to it are closed.
            self.close()
            self._broken = True
            raise

    def _prepare(self, table: str, *, create: bool) -> None:
        try:
            if create:
                _insist(lambda: self._connection.execute(_CREATE.format(_quoted(table))))
            columns = self._connection.execute(f"DESCRIBE {_quoted(table)}").fetchall()
        except duckdb.Error as exc:
            self._refuse(table, create=create, error=exc)
        found = {name: kind for name, kind, *_ in columns}
        keys = {name for name, _, _, role, *_ in columns if role == "PRI"}
        if {name: found.get(name) for name in _COLUMNS} != _COLUMNS or keys != {"collection", "key"}:
            message = (
                f"table {table!r} of the DuckDB database {self._where} is not a table of entries: it must have the "
                f"columns {_COLUMNS} and the primary key (collection, key); pass another table_name"
            )
            raise StoreSetupError(message)

    def _refuse(self, table: str, *, create: bool, error: duckdb.Error) -> NoReturn:
        cause = f"cannot be {'created' if create else 'read'}: {str(error).partition(chr(10))[0]}"
        if isinstance(error, duckdb.CatalogException) and not create:
            cause = "does not exist; create it, or pass auto_create=True"
        elif "read-only" in str(error):
            cause = "cannot be created: the database is open for reading only"
        message = f"table {table!r} of the DuckDB database {self._where} {cause}"
        raise StoreSetupError(message) from error


class Database(ABC):
    """A database to connect to; `where` names it in messages."""

    where: str

    @abstractmethod
    def connect(self) -> Connection:
        """A new connection. Raises StoreSetupError."""

    def disconnect(self, connection: Connection) -> None:
        connection.close()


class DatabaseOfPath(Database):
    """A file, or a new database in memory for each connection."""

    def __init__(self, path: str) -> None:
        self.where = path
        self._path = path
        self.in_memory = path.startswith(":memory:")
        self._in_use_as: tuple[Path, int] | None = None

    def connect(self) -> Connection:
        if self.in_memory:
            return duckdb.connect(self._path)
        file, process = Path(self._path).resolve(), os.getpid()
        if any(used == file and user != process and count for (used, user), count in _in_use.items()):
            raise StoreSetupError(_FORKED.format(self.where))
        try:
            connection = duckdb.connect(self._path)
        except duckdb.Error as exc:
            raise StoreSetupError(self._explained(str(exc).partition("\n")[0])) from exc
        self._in_use_as = (file, process)
        _in_use[self._in_use_as] += 1
        return connection

    def disconnect(self, connection: Connection) -> None:
        connection.close()
        if self._in_use_as is not None:
            _in_use[self._in_use_as] -= 1
            self._in_use_as = None

    def _explained(self, error: str) -> str:
        if "lock" in error:
            return (
                f"another process holds the DuckDB database {self.where}, and DuckDB lets only one write to it: "
                "close it there, or use it from one process"
            )
        if "different configuration" in error:
            return (
                f"this process has opened the DuckDB database {self.where} with another configuration: "
                "pass its connection as connection="
            )
        return f"cannot open the DuckDB database {self.where}: {error}"


class DatabaseOfConnection(Database):
    """The database of a caller's connection, which stays the caller's to close."""

    where = "of the connection"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._process = os.getpid()

    def connect(self) -> Connection:
        if os.getpid() != self._process:
            raise StoreSetupError(_FORKED.format(self.where))
        return self._connection.cursor()


_FORKED = (
    "the DuckDB database {} was open when this process was forked from another, which DuckDB does not survive: "
    "open it after forking"
)


def _insist(transaction: Callable[[], T]) -> T:
    """What the transaction returns, tried again while it conflicts with those of other connections."""
    deadline = time.monotonic() + _SECONDS_OF_TRYING
    pause = 0.001
    while True:
        try:
            return transaction()
        except _CONFLICTS as exc:
            if time.monotonic() > deadline or "Could not write" in str(exc):
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def _quoted(name: str) -> str:
    return f'"{name}"'
