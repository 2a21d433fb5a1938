"""The SQLite database of a directory. All calls block, and run in the thread that opened the connection."""

import os
import sqlite3
import time
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path

from key_value.aio.core.clock import microseconds_now
from key_value.aio.core.codec import EncodedValue
from key_value.aio.core.marks import digest
from key_value.aio.core.names import end_of_prefix
from key_value.aio.stores.disk import statements
from key_value.aio.stores.disk.schema import enable_wal, is_prepared, prepare, rewrite_version

__all__ = [
    "FILE_NAME",
    "Found",
    "Row",
    "SQLiteDatabase",
]

FILE_NAME = "key-value.db"

Row = tuple[str, str, int | None, int | None, EncodedValue | None]
"""Collection, key, created_at and expires_at in microseconds since 1970, and the value as JSON (None: unreadable)."""

Found = tuple[int, str, int | None, EncodedValue | None]
"""Row id, key, expires_at and value."""

# Numbers of keys per statement: few enough that all the statements stay prepared.
_KEYS_PER_STATEMENT = (1, 10, 100, 500)

_SWEEP_BATCH_ROWS = 1000
_EVICTION_BATCH_ROWS = 100
_SWEEP_INTERVAL_MICROSECONDS = 1_000_000

FileIdentity = tuple[int, int] | None
"""Device and inode number; None if there is no file."""

_WAL_PAGES = 1000
_PAGE_BYTES = 4096

# Every blob sorts after every text: https://sqlite.org/datatype3.html#comparison_expressions
_AFTER_ALL_TEXT = b""


class SQLiteDatabase:
    """One connection to a database. Call methods that change entries only between `begin` and `commit`."""

    def __init__(self, file: Path | None, *, timeout: float, max_size: int | None, pending_uses: deque[int]) -> None:
        """Without a file, the database is in memory. `max_size` is in bytes.

        With a `max_size`, reads append the ids of their rows to `pending_uses`, for the writer to record.
        """
        self._file = None if file is None else os.fspath(file)
        self._pending_uses = pending_uses
        self._max_size = max_size
        self._used_at = 0
        # Revisions start at a random number, so that no two connections use the same ones.
        self._revisions = count(int.from_bytes(os.urandom(7), "big"))
        self._next_sweep = 0
        self._unchecked_bytes = 0
        self._needs_vacuum = False
        # mode=rw never creates the file: a removed file is an error, not an empty store.
        address = ":memory:" if file is None else f"{file.as_uri()}?mode=rw"
        # Taken before opening: if the file is replaced meanwhile, this database counts as lost.
        self.checked_at: float = time.monotonic()
        self._identity = _identity(self._file)
        self.generation = 0
        self._wal = f"{self._file}-wal"
        self._wal_identity: FileIdentity = None
        # Used by one thread, but closed by the thread that forks.
        self._connection = sqlite3.connect(
            address, timeout=timeout, isolation_level=None, cached_statements=64, uri=True, check_same_thread=False
        )
        self._execute = self._connection.execute
        self._execute_each = self._connection.executemany

    @classmethod
    def empty(cls) -> "SQLiteDatabase":
        database = cls(None, timeout=0, max_size=None, pending_uses=deque())
        prepare(database._execute, ":memory:", index_uses=False)
        return database

    def close(self) -> None:
        """Record pending uses, and close the connection."""
        try:
            if self._pending_uses and not self.is_lost():
                # Uses are hints: close waits for them only briefly, and ignores their errors.
                with suppress(sqlite3.Error):
                    self._execute("PRAGMA query_only = OFF")
                    self._execute("PRAGMA synchronous = NORMAL")
                    self._execute("PRAGMA busy_timeout = 100")
                    self.begin()
                    self._execute("COMMIT")
        finally:
            self._connection.close()

    def is_lost(self) -> bool:
        """Whether the file has been removed or replaced, so that writes would be lost."""
        self.checked_at = time.monotonic()
        return _identity(self._file, unknown=self._identity) != self._identity

    def has_lost_wal(self) -> bool:
        """Whether only the write-ahead log has been removed, as by `rm -r` while the directory is recreated."""
        return _identity(self._wal, unknown=self._wal_identity) != self._wal_identity

    def checkpoint_wal(self) -> bool:
        """Copy the write-ahead log into the database; return whether all of it was copied."""
        busy, frames, saved = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy and frames == saved

    def prepare_for_reading(self, imports: Iterable[str]) -> bool:
        """Return whether the tables are ready and all of these imports are done."""
        self._execute("PRAGMA query_only = ON")
        return is_prepared(self._execute) and all(self._is_imported(source) for source in imports)

    def prepare_for_writing(self, *, full: bool, timeout: float) -> None:
        """Create missing tables. Raises StoreSetupError for a file of another format."""
        self._execute("PRAGMA auto_vacuum = INCREMENTAL")
        enable_wal(self._execute, timeout)
        self._execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        self._execute(f"PRAGMA fullfsync = {'ON' if full else 'OFF'}")
        wal_pages = _WAL_PAGES
        if self._max_size is not None:
            # Keeps the log of a small database small. With fewer pages, every third put would wait for a checkpoint.
            wal_pages = min(_WAL_PAGES, max(100, self._max_size // 50 // _PAGE_BYTES))
        self._execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
        self._execute(f"PRAGMA journal_size_limit = {wal_pages * _PAGE_BYTES}")
        prepare(self._execute, str(self._file), index_uses=self._max_size is not None)
        # The transaction of `prepare` has created the log, even if it wrote nothing.
        self._wal_identity = _identity(self._wal)

    def probe(self) -> None:
        """Prove that the database can be written and read."""
        rewrite_version(self._execute)
        self.collections(1)

    # Transactions

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._used_at = max(self._used_at, microseconds_now())
        if self._pending_uses:
            self._record_uses()

    def commit(self) -> None:
        if self._next_sweep <= (now := microseconds_now()):
            swept = self.sweep()
            self._next_sweep = now if swept == _SWEEP_BATCH_ROWS else now + _SWEEP_INTERVAL_MICROSECONDS
        if self._max_size is not None:
            self._evict(0, self._max_size)
            self._needs_vacuum = self._needs_vacuum or self._bytes("freelist_count") > self._max_size // 50
        self._execute("COMMIT")
        if self._needs_vacuum:
            # If another process is writing or the disk is full, the commit stands, and the next one tries again.
            with suppress(sqlite3.OperationalError):
                # `execute` would stop after the first page. `executescript` first ends any open transaction.
                self._connection.executescript("PRAGMA incremental_vacuum")
                self._needs_vacuum = False

    def roll_back(self) -> None:
        # SQLite rolls back by itself when the disk is full.
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    # Reading

    def find(self, collection: str, key: str) -> Found | None:
        found: Found | None = self._execute(statements.FIND_ONE, (collection, key)).fetchone()
        if found is not None and self._max_size is not None:
            self._pending_uses.append(found[0])
        return found

    def find_each(self, collection: str, keys: Sequence[str]) -> list[Found | None]:
        rows: dict[str, Found] = {}
        for start in range(0, len(keys), _KEYS_PER_STATEMENT[-1]):
            page = list(keys[start : start + _KEYS_PER_STATEMENT[-1]])
            size = next(size for size in _KEYS_PER_STATEMENT if size >= len(page))
            page += page[-1:] * (size - len(page))
            placeholders = ", ".join("?" * size)
            found: Iterable[Found] = self._execute(
                f"{statements.FIND} AND key IN ({placeholders})", (collection, *page)
            )
            rows.update((row[1], row) for row in found)
        if self._max_size is not None:
            self._pending_uses.extend(row[0] for row in rows.values())
        return [rows.get(key) for key in keys]

    def find_versioned(self, collection: str, key: str) -> tuple[Found, str] | None:
        found = self._execute(statements.FIND_VERSIONED, (collection, key)).fetchone()
        if found is None:
            return None
        if self._max_size is not None:
            self._pending_uses.append(found[0])
        row, _, expires_at, value, created_at, revision = found
        # Programs of earlier versions do not set revisions, but change the other columns.
        return (row, key, expires_at, value), digest(revision, created_at, expires_at, value)

    def keys(self, collection: str, prefix: str, after: str, limit: int) -> list[str]:
        """Return the first live keys after the given one, in code point order."""
        # `after` with NUL appended is the smallest key greater than `after`.
        start = max(prefix, f"{after}\0") if after else prefix
        end = (end_of_prefix(prefix) if prefix else None) or _AFTER_ALL_TEXT
        rows = self._execute(statements.KEYS, (collection, start, end, microseconds_now(), limit))
        return [key for (key,) in rows]

    def collections(self, limit: int | None) -> list[str]:
        names: list[str] = []
        last = ""
        # Skips along the index, from the first live row of each collection to that of the next.
        while limit is None or len(names) < limit:
            row = self._execute(statements.NEXT_COLLECTION, (last, microseconds_now())).fetchone()
            if row is None:
                break
            last = row[0]
            names.append(last)
        return names

    # Writing

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._max_size is not None:
                # Evicts between the rows of a batch, so that the file never exceeds its maximum size.
                size = len(row[4] or b"") + len(row[1])
                self._unchecked_bytes += size
                if self._unchecked_bytes > self._max_size // 100:
                    self._evict(size, self._max_size)
            self._execute(statements.PUT, (*row, self._next_use(), next(self._revisions)))

    def put_if(self, row: Row, version: str | None) -> bool:
        """Put the row if the live row has this version (None: if there is no live row); return whether it was put."""
        if self._version(row[0], row[1]) != version:
            return False
        self.put([row])
        return True

    def delete_if(self, collection: str, key: str, version: str) -> bool:
        return self._version(collection, key) == version and self.delete(collection, [key]) == 1

    def _version(self, collection: str, key: str) -> str | None:
        found = self.find_versioned(collection, key)
        if found is None or (found[0][2] is not None and found[0][2] <= microseconds_now()):
            return None
        return found[1]

    def delete(self, collection: str, keys: Sequence[str]) -> int:
        now = microseconds_now()
        return self._execute_each(statements.DELETE, [(collection, key, now) for key in keys]).rowcount

    def delete_collection(self, collection: str) -> bool:
        had_live = bool(self.keys(collection, "", "", 1))
        self._execute("DELETE FROM entries WHERE collection = ?", (collection,))
        return had_live

    def delete_everything(self) -> None:
        self._execute("DELETE FROM entries")
        self._needs_vacuum = True

    def sweep(self) -> int:
        """Remove up to 1000 expired entries; return how many."""
        return self._execute(statements.SWEEP, (microseconds_now(), _SWEEP_BATCH_ROWS)).rowcount

    def cull(self) -> bool:
        """Remove up to 1000 expired entries and release their pages; return whether there may be more."""
        more = self.sweep() == _SWEEP_BATCH_ROWS
        self._needs_vacuum = not more
        return more

    def import_rows(self, source: str, rows: Iterable[Row]) -> None:
        """Import rows of another format, once. Existing entries are newer and are kept."""
        if self._is_imported(source):
            return
        statement = statements.PUT.partition("ON CONFLICT")[0] + " ON CONFLICT DO NOTHING"
        self._execute_each(statement, ((*row, self._next_use(), next(self._revisions)) for row in rows))
        self._execute("INSERT INTO imports VALUES (?)", (source,))

    def _is_imported(self, source: str) -> bool:
        return self._execute("SELECT 1 FROM imports WHERE source = ?", (source,)).fetchone() is not None

    # Size

    def _next_use(self) -> int:
        """Return a number greater than those of all earlier uses in this process, close to microseconds since 1970."""
        self._used_at += 1
        return self._used_at

    def _record_uses(self) -> None:
        uses = [self._pending_uses.popleft() for _ in range(len(self._pending_uses))]
        # Only the last use of each row counts.
        rows = list(dict.fromkeys(reversed(uses)))[::-1]
        statement = "UPDATE entries SET used_at = ? WHERE id = ?"
        self._execute_each(statement, [(self._next_use(), row) for row in rows])

    def _evict(self, new_bytes: int, max_size: int) -> None:
        """Delete the least recently used entries until the new bytes fit too."""
        self._unchecked_bytes = 0
        while (excess := self._bytes("page_count") - self._bytes("freelist_count") + new_bytes - max_size) > 0:
            evicted: list[tuple[int]] = []
            rows = self._execute(statements.LEAST_RECENTLY_USED)
            for row, size in rows:
                evicted.append((row,))
                excess -= size or 0
                if excess <= 0 or len(evicted) == _EVICTION_BATCH_ROWS:
                    break
            rows.close()
            if not evicted:
                break
            self._execute_each("DELETE FROM entries WHERE id = ?", evicted)

    def _bytes(self, page_pragma: str) -> int:
        return self._execute(f"PRAGMA {page_pragma}").fetchone()[0] * _PAGE_BYTES


def _identity(file: str | None, *, unknown: FileIdentity = None) -> FileIdentity:
    """Return the identity of the file at this path; None if there is none, `unknown` if it cannot be determined."""
    if file is None:
        return None
    try:
        found = os.stat(file)  # noqa: PTH116 — for each read: 1.5 µs less than Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # For example, permission denied: not a sign of loss.
        return unknown
    return found.st_dev, found.st_ino
