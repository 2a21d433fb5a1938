"""The SQLite database of a directory. Everything here blocks, and runs in the one thread that opened the connection."""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from key_value.aio.core import clock
from key_value.aio.core.codec import EncodedValue
from key_value.aio.core.worker import Call
from key_value.aio.errors import StoreSetupError

if TYPE_CHECKING:
    from collections import deque

__all__ = [
    "FILE_NAME",
    "Database",
    "Found",
    "Row",
    "commit_together",
    "from_microseconds",
    "to_microseconds",
]

FILE_NAME = "key-value.db"

Row = tuple[str, str, int | None, int | None, EncodedValue | None]
"""Collection, key, created_at and expires_at in microseconds since 1970, the value as JSON; None when it is refused."""

Found = tuple[int, str, int | None, EncodedValue | None]
"""The row's id, key, expires_at, and the value."""

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
    value BLOB,
    UNIQUE (collection, key)
);
CREATE INDEX entries_by_expiry ON entries (expires_at) WHERE expires_at IS NOT NULL;
CREATE TABLE imports (source TEXT PRIMARY KEY) WITHOUT ROWID;
"""

_PUT = """
INSERT INTO entries (collection, key, created_at, expires_at, value, used_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (collection, key) DO UPDATE SET
    created_at = excluded.created_at, expires_at = excluded.expires_at, value = excluded.value,
    used_at = excluded.used_at
"""
_FIND = "SELECT id, key, expires_at, value FROM entries WHERE collection = ?"
_FIND_ONE = f"{_FIND} AND key = ?"
_KEYS = "SELECT key FROM entries WHERE collection = ? AND (expires_at IS NULL OR expires_at > ?) LIMIT ?"
_NEXT_COLLECTION = """
SELECT collection FROM entries WHERE collection > ? AND (expires_at IS NULL OR expires_at > ?)
ORDER BY collection LIMIT 1
"""
_DELETE = "DELETE FROM entries WHERE collection = ? AND key = ? AND (expires_at IS NULL OR expires_at > ?)"
_SWEEP = "DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE expires_at <= ? LIMIT ?)"
# What was used last stays, however large.
_LEAST_RECENTLY_USED = """
SELECT id, length(key) + length(value) FROM entries
WHERE used_at < (SELECT max(used_at) FROM entries) ORDER BY used_at
"""

# So few different statements that all of them stay prepared.
_KEYS_AT_ONCE = (1, 10, 100, 500)

_SWEPT_AT_ONCE = 1000
_EVICTED_AT_ONCE = 100
_SECOND = 1_000_000

_WAL_PAGES = 1000
_PAGE_BYTES = 4096

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int | None) -> datetime | None:
    return None if number is None else _EPOCH + timedelta(microseconds=number)


def _now() -> int:
    return (clock.now() - _EPOCH) // _MICROSECOND


class Database:
    """One connection. What changes entries is called between `begin` and `commit` only."""

    def __init__(self, path: Path, *, timeout: float, max_size: int | None, uses: "deque[int]") -> None:
        """`uses` takes the ids of the rows that were read, with a `max_size` in bytes, for the writer to note."""
        self.path = path
        self.uses = uses
        self._max_size = max_size
        self._used_at = 0
        self._next_sweep = 0
        self._unchecked = 0
        self._shrink = False
        # Never creates the file: where it has been removed, that is an error and not an empty store.
        address = f"{path.as_uri()}?mode=rw"
        self._connection = sqlite3.connect(address, timeout, isolation_level=None, cached_statements=64, uri=True)
        self._execute = self._connection.execute
        self._execute_each = self._connection.executemany

    def close(self) -> None:
        self._connection.close()

    def prepare_for_reading(self) -> None:
        self._execute("PRAGMA query_only = ON")

    def prepare_for_writing(self, *, full: bool, timeout: float) -> None:
        """Create what is missing. Raises StoreSetupError for a file of another kind."""
        self._execute("PRAGMA auto_vacuum = INCREMENTAL")
        self._use_wal(timeout)
        self._execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        self._execute(f"PRAGMA fullfsync = {'ON' if full else 'OFF'}")
        wal_pages = _WAL_PAGES
        if self._max_size is not None:
            # The log of a small database stays small. With fewer pages each third put waits for a checkpoint.
            wal_pages = min(_WAL_PAGES, max(100, self._max_size // 50 // _PAGE_BYTES))
        self._execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
        self._execute(f"PRAGMA journal_size_limit = {wal_pages * _PAGE_BYTES}")
        self._execute("BEGIN IMMEDIATE")
        (application,), (version,) = self._execute("PRAGMA application_id"), self._execute("PRAGMA user_version")
        tables = self._execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if not (application[0] or version[0] or tables):
            for statement in _SCHEMA.split(";"):
                self._execute(statement)
            self._execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._execute(f"PRAGMA user_version = {_VERSION}")
        elif application[0] != _APPLICATION_ID:
            message = f"{self.path} is a database of another application"
            raise StoreSetupError(message)
        elif version[0] != _VERSION:
            message = f"{self.path} has format version {version[0]}; this library reads version {_VERSION}"
            raise StoreSetupError(message)
        if self._max_size is not None:
            self._execute("CREATE INDEX IF NOT EXISTS entries_by_use ON entries (used_at)")
        self._execute("COMMIT")

    def _use_wal(self, timeout: float) -> None:
        # SQLite does not wait by itself while another process makes the same change.
        deadline = time.monotonic() + timeout
        while self._is_locked("PRAGMA journal_mode = WAL") and time.monotonic() < deadline:
            time.sleep(0.01)

    def _is_locked(self, statement: str) -> bool:
        try:
            self._execute(statement)
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc):
                raise
            return True
        return False

    # Transactions

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._used_at = max(self._used_at, _now())
        if self.uses:
            self._note_uses()

    def commit(self) -> None:
        if self._next_sweep <= (now := _now()):
            swept = self.sweep()
            self._next_sweep = now if swept == _SWEPT_AT_ONCE else now + _SECOND
        if self._max_size is not None:
            self._make_room(0, self._max_size)
            self._shrink = self._shrink or self._bytes("freelist_count") > self._max_size // 50
        self._execute("COMMIT")
        if self._shrink:
            # `execute` would stop after the first page; and this ends a transaction before it begins.
            self._connection.executescript("PRAGMA incremental_vacuum")
            self._shrink = False

    def roll_back(self) -> None:
        # Where the disk is full SQLite has done it by itself.
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    # Reading

    def find(self, collection: str, key: str) -> Found | None:
        found: Found | None = self._execute(_FIND_ONE, (collection, key)).fetchone()
        if found is not None and self._max_size is not None:
            self.uses.append(found[0])
        return found

    def find_each(self, collection: str, keys: Sequence[str]) -> list[Found | None]:
        rows: dict[str, Found] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE[-1]):
            page = list(keys[start : start + _KEYS_AT_ONCE[-1]])
            count = next(count for count in _KEYS_AT_ONCE if count >= len(page))
            page += page[-1:] * (count - len(page))
            marks = ", ".join("?" * count)
            found: Iterable[Found] = self._execute(f"{_FIND} AND key IN ({marks})", (collection, *page))
            rows.update((row[1], row) for row in found)
        if self._max_size is not None:
            self.uses.extend(row[0] for row in rows.values())
        return [rows.get(key) for key in keys]

    def keys(self, collection: str, limit: int | None) -> list[str]:
        rows = self._execute(_KEYS, (collection, _now(), -1 if limit is None else limit))
        return [key for (key,) in rows]

    def collections(self, limit: int | None) -> list[str]:
        names: list[str] = []
        last = ""
        # From the first live row of a collection to that of the next, along the index.
        while limit is None or len(names) < limit:
            row = self._execute(_NEXT_COLLECTION, (last, _now())).fetchone()
            if row is None:
                break
            last = row[0]
            names.append(last)
        return names

    # Writing

    def put(self, rows: Sequence[Row]) -> None:
        for row in rows:
            if self._max_size is not None:
                # The file never grows beyond its size, because what was used least makes room on the way.
                octets = len(row[4] or b"") + len(row[1])
                self._unchecked += octets
                if self._unchecked > self._max_size // 100:
                    self._make_room(octets, self._max_size)
            self._execute(_PUT, (*row, self._next_use()))

    def delete(self, collection: str, keys: Sequence[str]) -> int:
        now = _now()
        return self._execute_each(_DELETE, [(collection, key, now) for key in keys]).rowcount

    def delete_collection(self, collection: str) -> bool:
        held_any = bool(self.keys(collection, limit=1))
        self._execute("DELETE FROM entries WHERE collection = ?", (collection,))
        return held_any

    def delete_everything(self) -> None:
        self._execute("DELETE FROM entries")
        self._shrink = True

    def sweep(self) -> int:
        """Remove expired entries, not too many at once; how many."""
        return self._execute(_SWEEP, (_now(), _SWEPT_AT_ONCE)).rowcount

    def cull(self) -> bool:
        """Remove expired entries and give their pages back; whether there may be more."""
        more = self.sweep() == _SWEPT_AT_ONCE
        self._shrink = not more
        return more

    def take_in(self, source: str, rows: Iterable[Row]) -> None:
        """Import what another format holds, once. Entries that are there already are newer, and stay."""
        if self._execute("SELECT 1 FROM imports WHERE source = ?", (source,)).fetchone():
            return
        statement = _PUT.partition("ON CONFLICT")[0] + " ON CONFLICT DO NOTHING"
        self._execute_each(statement, ((*row, self._next_use()) for row in rows))
        self._execute("INSERT INTO imports VALUES (?)", (source,))

    # Size

    def _next_use(self) -> int:
        """A number that rises from use to use, in this process by all means: about microseconds since 1970."""
        self._used_at += 1
        return self._used_at

    def _note_uses(self) -> None:
        uses = [self.uses.popleft() for _ in range(len(self.uses))]
        # The last use of each row counts.
        rows = list(dict.fromkeys(reversed(uses)))[::-1]
        statement = "UPDATE entries SET used_at = ? WHERE id = ?"
        self._execute_each(statement, [(self._next_use(), row) for row in rows])

    def _make_room(self, octets: int, max_size: int) -> None:
        self._unchecked = 0
        while (excess := self._bytes("page_count") - self._bytes("freelist_count") + octets - max_size) > 0:
            evicted: list[tuple[int]] = []
            rows = self._execute(_LEAST_RECENTLY_USED)
            for row, size in rows:
                evicted.append((row,))
                excess -= size or 0
                if excess <= 0 or len(evicted) == _EVICTED_AT_ONCE:
                    break
            rows.close()
            if not evicted:
                break
            self._execute_each("DELETE FROM entries WHERE id = ?", evicted)

    def _bytes(self, pages: str) -> int:
        return self._execute(f"PRAGMA {pages}").fetchone()[0] * _PAGE_BYTES


def commit_together(database: Database, calls: Sequence[Call[Database]]) -> None:
    """Make the calls in one transaction; or, where one of them fails, each in one of its own."""
    database.begin()
    if _committed(database, calls) or len(calls) == 1:
        return
    for call in calls:
        database.begin()
        _committed(database, [call])


def _committed(database: Database, calls: Sequence[Call[Database]]) -> bool:
    error: BaseException | None = None
    for call in calls:
        call.make(database)
        error = call.error
        if error is not None:
            break
    else:
        try:
            database.commit()
        except sqlite3.Error as exc:
            error = exc
    if error is None:
        return True
    database.roll_back()
    for call in calls:
        call.error = error
    return False
