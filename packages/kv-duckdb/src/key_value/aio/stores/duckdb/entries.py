"""The table of entries and its statements."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeVar

from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.duckdb.database import DuckDatabase

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

# The version is a digest of the stored values, so that any writer changes it.
_FRAGMENTS = {
    "into": "INTO {table} (collection, key, value, created_at, expires_at, version)",
    "entry": "collection = ? AND key = ?",
    "live": "(expires_at IS NULL OR expires_at > ?)",
    "digest": "md5(value::VARCHAR || '|' || coalesce(epoch_us(created_at)::VARCHAR, '-') || '|' || "
    "coalesce(epoch_us(expires_at)::VARCHAR, '-') || '|' || version::VARCHAR)",
}
# Times are read as microseconds, because the driver needs pytz for datetimes but does not depend on it. Each column
# costs 30 µs to read, so created_at is left out.
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
_BULK_DELETIONS = {"cull", "destroy", "destroy_collection"}

# A checkpoint takes 60 µs for an empty database, and 2 ms for 1 000 values of 100 KB.
_WRITES_PER_CHECKPOINT = 100

_CONFLICTS = (duckdb.TransactionException, duckdb.ConstraintException)
_CONFLICT_RETRY_SECONDS = 2.0
_MAX_RETRY_DELAY_SECONDS = 0.05


class Entries:
    """The table of entries, accessed through its own connection from one thread."""

    def __init__(self, database: DuckDatabase, table: str, *, create: bool) -> None:
        """Open the database. Raises StoreSetupError if that fails or the table has another schema."""
        self._database = database
        self._where = database.where
        self._table = table
        self._create = create
        self._writes = 0
        self._open()
        # Parsing each statement only once saves 60 µs per call.
        self._statements: dict[str, Any] = {
            name: self._connection.extract_statements(statement_on(table, name))[0] for name in _STATEMENTS
        }

    def check(self) -> None:
        """Read from the table. Raises the errors of `run`."""
        self.run("get", "", "")

    def run(self, statement: str, *parameters: Any) -> list[Any]:
        """Run a statement in its own transaction, and return its rows. Retries conflicts with other connections."""
        try:
            rows = _retry_conflicts(lambda: self._execute(statement, parameters))
        except duckdb.Error as exc:
            if "Could not write" not in str(exc):
                raise
            message = f"cannot write to the DuckDB database {self._where}, for example because the disk is full"
            raise KeyValueStoreError(message) from exc
        if not self._database.is_in_place():
            self._close_until_next_use()
            message = (
                f"the file of the DuckDB database {self._where} has been removed while it was open, with all its data; "
                "the next call opens the database again"
            )
            raise StoreConnectionError(message)
        if statement not in _READS:
            self._database.after_write()
            if self._database.in_memory:
                self._checkpoint(statement)
        return rows

    def _checkpoint(self, statement: str) -> None:
        """Free replaced rows of an in-memory database now and then. DuckDB does that by itself only for files."""
        self._writes += 1
        if self._writes < _WRITES_PER_CHECKPOINT and statement not in _BULK_DELETIONS:
            return
        self._writes = 0
        # Fails while another connection of the caller is in a transaction; the next checkpoint will do.
        with suppress(duckdb.TransactionException):
            self._connection.execute("CHECKPOINT")

    def close(self) -> None:
        self._database.disconnect(self._connection)

    def _execute(self, statement: str, parameters: tuple[Any, ...]) -> list[Any]:
        if self._is_closed:
            self._open()
        try:
            return self._connection.execute(self._statements[statement], parameters).fetchall()
        except duckdb.FatalException:
            # After a fatal error, the database is unusable until all connections to it are closed.
            self._close_until_next_use()
            raise

    def _open(self) -> None:
        self._connection = self._database.connect()
        self._is_closed = False
        try:
            self._prepare(self._table, create=self._create)
        except BaseException:
            self._close_until_next_use()
            raise

    def _close_until_next_use(self) -> None:
        self.close()
        self._is_closed = True

    def _prepare(self, table: str, *, create: bool) -> None:
        try:
            if create:
                _retry_conflicts(lambda: self._connection.execute(_CREATE.format(_quoted(table))))
            columns = self._connection.execute(f"DESCRIBE {_quoted(table)}").fetchall()
        except duckdb.Error as exc:
            self._raise_unusable(table, create=create, error=exc)
        found = {name: kind for name, kind, *_ in columns}
        keys = {name for name, _, _, role, *_ in columns if role == "PRI"}
        if {name: found.get(name) for name in _COLUMNS} != _COLUMNS or keys != {"collection", "key"}:
            message = (
                f"table {table!r} of the DuckDB database {self._where} is not a table of entries: it must have the "
                f"columns {_COLUMNS} and the primary key (collection, key); pass another table_name"
            )
            raise StoreSetupError(message)

    def _raise_unusable(self, table: str, *, create: bool, error: duckdb.Error) -> NoReturn:
        cause = f"cannot be {'created' if create else 'read'}: {str(error).partition(chr(10))[0]}"
        if isinstance(error, duckdb.CatalogException) and not create:
            cause = "does not exist; create it, or pass auto_create=True"
        elif "read-only" in str(error):
            cause = "cannot be created: the database is open for reading only"
        message = f"table {table!r} of the DuckDB database {self._where} {cause}"
        raise StoreSetupError(message) from error


def _retry_conflicts(transaction: Callable[[], T]) -> T:
    """Run the transaction, retrying conflicts with other connections for two seconds; return its result."""
    deadline = time.monotonic() + _CONFLICT_RETRY_SECONDS
    delay = 0.001
    while True:
        try:
            return transaction()
        except _CONFLICTS as exc:
            if time.monotonic() > deadline or "Could not write" in str(exc):
                raise
        time.sleep(delay)
        delay = min(2 * delay, _MAX_RETRY_DELAY_SECONDS)


def statement_on(table: str, name: str) -> str:
    """Return the SQL text of a statement, for the given table."""
    fragments = {name: fragment.replace("{table}", _quoted(table)) for name, fragment in _FRAGMENTS.items()}
    return _STATEMENTS[name].format(table=_quoted(table), **fragments)


def _quoted(name: str) -> str:
    return f'"{name}"'
