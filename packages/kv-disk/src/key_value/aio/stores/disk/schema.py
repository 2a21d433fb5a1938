"""Creates and completes the tables of a database."""

import sqlite3
import time
from collections.abc import Callable

from key_value.aio.errors import StoreSetupError

__all__ = ["is_prepared", "prepare", "use_wal", "write_again"]

_APPLICATION_ID = 0x6B762D64  # "kv-d"
_VERSION = 1

# The value comes last: SQLite reads what stands before it without the pages on which a large value continues.
_SCHEMA = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    created_at INTEGER,
    expires_at INTEGER,
    used_at INTEGER NOT NULL,
    revision INTEGER,
    value BLOB,
    UNIQUE (collection, key)
);
CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE imports (source TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# Takes as long for a million rows as for one: https://sqlite.org/lang_altertable.html#altertabaddcol
_ADD_REVISION = "ALTER TABLE entries ADD COLUMN revision INTEGER"
_INDEX_BY_USE = "CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used_at)"

Execute = Callable[[str], sqlite3.Cursor]


def prepare(execute: Execute, path: str, *, by_use: bool) -> None:
    """Create missing tables and columns, in one transaction. Raises StoreSetupError for a database of another kind.

    A database without revisions gets the column, and earlier versions can still read and write it.
    """
    execute("BEGIN IMMEDIATE")
    application, version = _kind(execute)
    tables = execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not (application or version or tables):
        for statement in _SCHEMA.split(";"):
            execute(statement)
        execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        execute(f"PRAGMA user_version = {_VERSION}")
    elif application != _APPLICATION_ID:
        message = f"{path} is a database of another application"
        raise StoreSetupError(message)
    elif version != _VERSION:
        message = f"{path} has format version {version}; this library reads version {_VERSION}"
        raise StoreSetupError(message)
    elif not _has_revisions(execute):
        execute(_ADD_REVISION)
    if by_use:
        execute(_INDEX_BY_USE)
    execute("COMMIT")


def write_again(execute: Execute) -> None:
    """Write an unchanged value, to prove that the database is writable."""
    execute(f"PRAGMA user_version = {_VERSION}")


def is_prepared(execute: Execute) -> bool:
    """Whether entries can be read. If not, `prepare` changes that or raises the reason."""
    return _kind(execute) == (_APPLICATION_ID, _VERSION) and _has_revisions(execute)


def _kind(execute: Execute) -> tuple[int, int]:
    return execute("PRAGMA application_id").fetchone()[0], execute("PRAGMA user_version").fetchone()[0]


def _has_revisions(execute: Execute) -> bool:
    return any(column[1] == "revision" for column in execute("PRAGMA table_info(entries)"))


def use_wal(execute: Execute, timeout: float) -> None:
    # SQLite does not wait by itself while another process makes the same change.
    deadline = time.monotonic() + timeout
    while _is_locked(execute, "PRAGMA journal_mode = WAL") and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_locked(execute: Execute, statement: str) -> bool:
    try:
        execute(statement)
    except sqlite3.OperationalError as exc:
        if "locked" not in str(exc):
            raise
        return True
    return False
