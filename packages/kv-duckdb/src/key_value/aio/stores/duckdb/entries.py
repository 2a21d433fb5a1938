"""The table of entries and its statements."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.duckdb.database import Database

import duckdb

__all__ = ["Entries", "statement_on"]

T = TypeVar("T")

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

# A digest of what is stored, so that a write by anybody changes it.
_FRAGMENTS = {
    "into": "INTO {table} (collection, key, value, created_at, expires_at, version)",
    "entry": "collection = ? AND key = ?",
    "live": "(expires_at IS NULL OR expires_at > ?)",
    "digest": "md5(value::VARCHAR || '|' || coalesce(epoch_us(created_at)::VARCHAR, '-') || '|' || "
    "coalesce(epoch_us(expires_at)::VARCHAR, '-') || '|' || version::VARCHAR)",
}
# Times are read as microseconds: as datetimes the driver makes them with pytz, which it does not bring along.
# Each column costs a reader 30 µs, and none asks when the entry was created.
_STATEMENTS = {
    "get": "SELECT value, version, epoch_us(expires_at) FROM {table} WHERE {entry}",
    "get_many": "SELECT key, value, version, epoch_us(expires_at) FROM {table} "
    "WHERE collection = ? AND key IN (SELECT unnest(?))",
    "get_versioned": "SELECT value, version, epoch_us(expires_at), {digest} FROM {table} WHERE {entry}",
    "put": "INSERT OR REPLACE {into} VALUES (?, ?, ?, ?, ?, 1)",
    "put_many": "INSERT OR REPLACE {into} SELECT ?, unnest(?), unnest(?), ?, ?, 1",
    "put_if_absent": "INSERT {into} VALUES (?, ?, ?, ?, ?, 1) ON CONFLICT DO UPDATE SET value = excluded.value, "
    "created_at = excluded.created_at, expires_at = excluded.expires_at, version = 1 WHERE expires_at <= ? RETURNING 1",
    "put_if_version": "UPDATE {table} SET value = ?, created_at = ?, expires_at = ?, version = 1 "
    "WHERE {entry} AND {digest} = ? AND {live} RETURNING 1",
    "delete": "DELETE FROM {table} WHERE {entry} RETURNING epoch_us(expires_at)",
    "delete_many": "DELETE FROM {table} WHERE collection = ? AND key IN (SELECT unnest(?)) "
    "RETURNING epoch_us(expires_at)",
    "delete_if_version": "DELETE FROM {table} WHERE {entry} AND {digest} = ? AND {live} RETURNING 1",
    "keys": "SELECT key FROM {table} WHERE collection = ? AND key > ? AND starts_with(key, ?) AND {live} "
    "ORDER BY key LIMIT ?",
    "collections": "SELECT DISTINCT collection FROM {table} WHERE {live} LIMIT ?",
    "destroy_collection": "DELETE FROM {table} WHERE collection = ?",
    "destroy": "DELETE FROM {table}",
    "cull": "DELETE FROM {table} WHERE expires_at <= ?",
}

_READS = {"get", "get_many", "get_versioned", "keys", "collections"}
_REMOVALS = {"cull", "destroy", "destroy_collection"}

# A checkpoint of an empty database takes 60 µs, and one of 1 000 values of 100 KB 2 ms.
_WRITES_PER_CHECKPOINT = 100

_CONFLICTS = (duckdb.TransactionException, duckdb.ConstraintException)
_SECONDS_OF_TRYING = 2.0
_LONGEST_PAUSE = 0.05


class Entries:
    """The table of entries, through a connection of its own. One thread uses it."""

    def __init__(self, database: Database, table: str, *, create: bool) -> None:
        """Raises StoreSetupError if the database cannot be opened or the table does not fit."""
        self._database = database
        self._where = database.where
        self._table = table
        self._create = create
        self._writes = 0
        self._open()
        # Each parsed once, which saves 60 µs a call.
        self._statements: dict[str, Any] = {
            name: self._connection.extract_statements(statement_on(table, name))[0] for name in _STATEMENTS
        }

    def check(self) -> None:
        """Raise the errors of `run` if the table cannot be read."""
        self.run("get", "", "")

    def run(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement in its own transaction, and return its rows. Retries conflicts with other connections."""
        try:
            rows = _insist(lambda: self._execute(statement, parameters))
        except duckdb.Error as exc:
            if "Could not write" not in str(exc):
                raise
            message = f"the DuckDB database {self._where} cannot be written to, as when the disk is full"
            raise KeyValueStoreError(message) from exc
        if not self._database.confirm():
            self._close_until_used()
            message = (
                f"the file of the DuckDB database {self._where} has been removed while it was open, with all that it "
                "held; the next call opens it anew"
            )
            raise StoreConnectionError(message)
        if statement not in _READS:
            self._database.written()
            if self._database.in_memory:
                self._give_back(statement)
        return rows

    def _give_back(self, statement: str) -> None:
        """Make DuckDB free replaced rows, which it does by itself only for files."""
        self._writes += 1
        if self._writes < _WRITES_PER_CHECKPOINT and statement not in _REMOVALS:
            return
        self._writes = 0
        # Another connection of the caller may be in the midst of a transaction: then the next one does it.
        with suppress(duckdb.TransactionException):
            self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        self._database.disconnect(self._connection)

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        if self._broken:
            self._open()
        try:
            return self._connection.execute(self._statements[statement], parameters).fetchall()
        except duckdb.FatalException:
            # DuckDB refuses every further use of a database after this, until all connections to it are closed.
            self._close_until_used()
            raise

    def _open(self) -> None:
        self._connection = self._database.connect()
        self._broken = False
        try:
            self._prepare(self._table, create=self._create)
        except BaseException:
            self._close_until_used()
            raise

    def _close_until_used(self) -> None:
        self.close()
        self._broken = True

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


def _insist(transaction: Callable[[], T]) -> T:
    """Return the result of the transaction, retrying it while it conflicts with other connections."""
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


def statement_on(table: str, name: str) -> str:
    """The SQL of one of the statements."""
    fragments = {name: fragment.replace("{table}", _quoted(table)) for name, fragment in _FRAGMENTS.items()}
    return _STATEMENTS[name].format(table=_quoted(table), **fragments)


def _quoted(name: str) -> str:
    return f'"{name}"'
