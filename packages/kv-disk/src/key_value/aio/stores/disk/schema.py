"""Creates and upgrades the tables of a database."""

import sqlite3
import time
from collections.abc import Callable

from key_value.aio.errors import StoreSetupError

__all__ = ["enable_wal", "is_prepared", "prepare", "rewrite_version"]

_APPLICATION_ID = 0x6B762D64  # "kv-d"
_VERSION = 1

# The value comes last: SQLite reads the columns before it without loading the overflow pages of a large value.
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

# Constant time, whatever the number of rows: https://sqlite.org/lang_altertable.html#altertabaddcol
_ADD_REVISION = "ALTER TABLE entries ADD COLUMN revision INTEGER"
_INDEX_BY_USE = "CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used_at)"

Execute = Callable[[str], sqlite3.Cursor]


def prepare(execute: Execute, path: str, *, index_uses: bool) -> None:
    """Create missing tables and columns in one transaction. Raises StoreSetupError for a database of another format.

    Earlier versions can still read and write a database after the column for revisions was added.
    """
    execute("BEGIN IMMEDIATE")
    application, version = _format(execute)
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
    if index_uses:
        execute(_INDEX_BY_USE)
    execute("COMMIT")


def rewrite_version(execute: Execute) -> None:
    """Rewrite the format version unchanged, to prove that the database is writable."""
    execute(f"PRAGMA user_version = {_VERSION}")


def is_prepared(execute: Execute) -> bool:
    """Whether entries can be read. If not, `prepare` makes them readable or raises the reason."""
    return _format(execute) == (_APPLICATION_ID, _VERSION) and _has_revisions(execute)


def _format(execute: Execute) -> tuple[int, int]:
    return execute("PRAGMA application_id").fetchone()[0], execute("PRAGMA user_version").fetchone()[0]


def _has_revisions(execute: Execute) -> bool:
    return any(column[1] == "revision" for column in execute("PRAGMA table_info(entries)"))


def enable_wal(execute: Execute, timeout: float) -> None:
    # SQLite does not wait by itself while another process changes the journal mode.
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
