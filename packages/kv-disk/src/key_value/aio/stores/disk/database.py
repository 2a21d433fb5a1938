"""The SQLite database of a directory. Everything here blocks, and runs in the one thread that opened the connection."""

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
from key_value.aio.stores.disk.schema import is_prepared, prepare, use_wal, write_again

__all__ = [
    "FILE_NAME",
    "Database",
    "Found",
    "Row",
]

FILE_NAME = "key-value.db"

Row = tuple[str, str, int | None, int | None, EncodedValue | None]
"""Collection, key, created_at and expires_at in microseconds since 1970, the value as JSON; None when it is refused."""

Found = tuple[int, str, int | None, EncodedValue | None]
"""The row's id, key, expires_at, and the value."""

# So few different statements that all of them stay prepared.
_KEYS_AT_ONCE = (1, 10, 100, 500)

_SWEPT_AT_ONCE = 1000
_EVICTED_AT_ONCE = 100
_SECOND = 1_000_000

Identity = tuple[int, int] | None

_WAL_PAGES = 1000
_PAGE_BYTES = 4096

# Every blob comes after every text: https://sqlite.org/datatype3.html#comparison_expressions
_BEHIND_ALL = b""


class Database:
    """One connection. Call methods that change entries only between `begin` and `commit`."""

    def __init__(self, file: Path | None, *, timeout: float, max_size: int | None, uses: deque[int]) -> None:
        """`uses` takes the ids of the rows that were read, with a `max_size` in bytes, for the writer to note.

        Without a file, the database is in memory.
        """
        self._file = None if file is None else os.fspath(file)
        self._uses = uses
        self._max_size = max_size
        self._used_at = 0
        # A revision is one of those of this connection: no other begins near it.
        self._revisions = count(int.from_bytes(os.urandom(7), "big"))
        self._next_sweep = 0
        self._unchecked = 0
        self._shrink = False
        # Never creates the file: where it has been removed, that is an error and not an empty store.
        address = ":memory:" if file is None else f"{file.as_uri()}?mode=rw"
        # Before it is opened: where another takes its place meanwhile, this one counts as lost.
        self.looked_at: float = time.monotonic()
        self._identity = _identity(self._file)
        self.opening = 0
        self._log = f"{self._file}-wal"
        self._log_identity: Identity = None
        # One thread uses it, and the one that forks closes it.
        self._connection = sqlite3.connect(
            address, timeout=timeout, isolation_level=None, cached_statements=64, uri=True, check_same_thread=False
        )
        self._execute = self._connection.execute
        self._execute_each = self._connection.executemany

    @classmethod
    def without_entries(cls) -> "Database":
        database = cls(None, timeout=0, max_size=None, uses=deque())
        prepare(database._execute, ":memory:", by_use=False)
        return database

    def close(self) -> None:
        """Record the uses not recorded yet, and close the connection."""
        try:
            if self._uses and not self.is_lost():
                # They are hints, for which nobody waits long and nothing fails.
                with suppress(sqlite3.Error):
                    self._execute("PRAGMA query_only = OFF")
                    self._execute("PRAGMA synchronous = NORMAL")
                    self._execute("PRAGMA busy_timeout = 100")
                    self.begin()
                    self._execute("COMMIT")
        finally:
            self._connection.close()

    def is_lost(self) -> bool:
        """Whether the file has been removed or replaced, so that writes go to a file without a name."""
        self.looked_at = time.monotonic()
        return _identity(self._file, unseen=self._identity) != self._identity

    def has_lost_log(self) -> bool:
        """Whether the write-ahead log alone has been removed, as by `rm -r` while the directory is made again."""
        return _identity(self._log, unseen=self._log_identity) != self._log_identity

    def save_log(self) -> bool:
        """Copy the log into the database; return whether all of it is there."""
        busy, frames, saved = self._execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not busy and frames == saved

    def prepare_for_reading(self, imports: Iterable[str]) -> bool:
        """Whether the entries can be read, and these were imported."""
        self._execute("PRAGMA query_only = ON")
        return is_prepared(self._execute) and not any(not self._was_taken_in(source) for source in imports)

    def prepare_for_writing(self, *, full: bool, timeout: float) -> None:
        """Create the missing tables. Raises StoreSetupError for a file of another kind."""
        self._execute("PRAGMA auto_vacuum = INCREMENTAL")
        use_wal(self._execute, timeout)
        self._execute(f"PRAGMA synchronous = {'FULL' if full else 'NORMAL'}")
        self._execute(f"PRAGMA fullfsync = {'ON' if full else 'OFF'}")
        wal_pages = _WAL_PAGES
        if self._max_size is not None:
            # The log of a small database stays small. With fewer pages each third put waits for a checkpoint.
            wal_pages = min(_WAL_PAGES, max(100, self._max_size // 50 // _PAGE_BYTES))
        self._execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
        self._execute(f"PRAGMA journal_size_limit = {wal_pages * _PAGE_BYTES}")
        prepare(self._execute, str(self._file), by_use=self._max_size is not None)
        # A transaction makes the log, also one that writes nothing.
        self._log_identity = _identity(self._log)

    def probe(self) -> None:
        """Write and read."""
        write_again(self._execute)
        self.collections(1)

    # Transactions

    def begin(self) -> None:
        self._execute("BEGIN IMMEDIATE")
        self._used_at = max(self._used_at, microseconds_now())
        if self._uses:
            self._note_uses()

    def commit(self) -> None:
        if self._next_sweep <= (now := microseconds_now()):
            swept = self.sweep()
            self._next_sweep = now if swept == _SWEPT_AT_ONCE else now + _SECOND
        if self._max_size is not None:
            self._make_room(0, self._max_size)
            self._shrink = self._shrink or self._bytes("freelist_count") > self._max_size // 50
        self._execute("COMMIT")
        if self._shrink:
            # The commit stands even if another process is writing now or the disk is full: try again next time.
            with suppress(sqlite3.OperationalError):
                # `execute` would stop after the first page; and this ends a transaction before it begins.
                self._connection.executescript("PRAGMA incremental_vacuum")
                self._shrink = False

    def roll_back(self) -> None:
        # Where the disk is full SQLite has done it by itself.
        if self._connection.in_transaction:
            self._execute("ROLLBACK")

    # Reading

    def find(self, collection: str, key: str) -> Found | None:
        found: Found | None = self._execute(statements.FIND_ONE, (collection, key)).fetchone()
        if found is not None and self._max_size is not None:
            self._uses.append(found[0])
        return found

    def find_each(self, collection: str, keys: Sequence[str]) -> list[Found | None]:
        rows: dict[str, Found] = {}
        for start in range(0, len(keys), _KEYS_AT_ONCE[-1]):
            page = list(keys[start : start + _KEYS_AT_ONCE[-1]])
            size = next(size for size in _KEYS_AT_ONCE if size >= len(page))
            page += page[-1:] * (size - len(page))
            marks = ", ".join("?" * size)
            found: Iterable[Found] = self._execute(f"{statements.FIND} AND key IN ({marks})", (collection, *page))
            rows.update((row[1], row) for row in found)
        if self._max_size is not None:
            self._uses.extend(row[0] for row in rows.values())
        return [rows.get(key) for key in keys]

    def find_versioned(self, collection: str, key: str) -> tuple[Found, str] | None:
        found = self._execute(statements.FIND_WHOLE, (collection, key)).fetchone()
        if found is None:
            return None
        if self._max_size is not None:
            self._uses.append(found[0])
        row, _, expires_at, value, created_at, revision = found
        # Programs that know no revision change the rest.
        return (row, key, expires_at, value), digest(revision, created_at, expires_at, value)

    def keys(self, collection: str, prefix: str, after: str, limit: int) -> list[str]:
        """The first live keys after a given one, in the order of their code points."""
        # NUL comes before everything that can follow.
        start = max(prefix, f"{after}\0") if after else prefix
        end = (end_of_prefix(prefix) if prefix else None) or _BEHIND_ALL
        rows = self._execute(statements.KEYS, (collection, start, end, microseconds_now(), limit))
        return [key for (key,) in rows]

    def collections(self, limit: int | None) -> list[str]:
        names: list[str] = []
        last = ""
        # From the first live row of a collection to that of the next, along the index.
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
                # The file never grows beyond its size, because what was used least makes room on the way.
                octets = len(row[4] or b"") + len(row[1])
                self._unchecked += octets
                if self._unchecked > self._max_size // 100:
                    self._make_room(octets, self._max_size)
            self._execute(statements.PUT, (*row, self._next_use(), next(self._revisions)))

    def put_if(self, row: Row, version: str | None) -> bool:
        """Put the row if the live one has the version, or for None if there is none; return whether it was put."""
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
        held_any = bool(self.keys(collection, "", "", 1))
        self._execute("DELETE FROM entries WHERE collection = ?", (collection,))
        return held_any

    def delete_everything(self) -> None:
        self._execute("DELETE FROM entries")
        self._shrink = True

    def sweep(self) -> int:
        """Remove some of the expired entries; return how many."""
        return self._execute(statements.SWEEP, (microseconds_now(), _SWEPT_AT_ONCE)).rowcount

    def cull(self) -> bool:
        """Remove expired entries and give their pages back; return whether there may be more."""
        more = self.sweep() == _SWEPT_AT_ONCE
        self._shrink = not more
        return more

    def import_rows(self, source: str, rows: Iterable[Row]) -> None:
        """Import rows of another format, once. Existing entries are newer, and stay."""
        if self._was_taken_in(source):
            return
        statement = statements.PUT.partition("ON CONFLICT")[0] + " ON CONFLICT DO NOTHING"
        self._execute_each(statement, ((*row, self._next_use(), next(self._revisions)) for row in rows))
        self._execute("INSERT INTO imports VALUES (?)", (source,))

    def _was_taken_in(self, source: str) -> bool:
        return self._execute("SELECT 1 FROM imports WHERE source = ?", (source,)).fetchone() is not None

    # Size

    def _next_use(self) -> int:
        """A number that rises from use to use, in this process by all means: about microseconds since 1970."""
        self._used_at += 1
        return self._used_at

    def _note_uses(self) -> None:
        uses = [self._uses.popleft() for _ in range(len(self._uses))]
        # The last use of each row counts.
        rows = list(dict.fromkeys(reversed(uses)))[::-1]
        statement = "UPDATE entries SET used_at = ? WHERE id = ?"
        self._execute_each(statement, [(self._next_use(), row) for row in rows])

    def _make_room(self, octets: int, max_size: int) -> None:
        self._unchecked = 0
        while (excess := self._bytes("page_count") - self._bytes("freelist_count") + octets - max_size) > 0:
            evicted: list[tuple[int]] = []
            rows = self._execute(statements.LEAST_RECENTLY_USED)
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


def _identity(file: str | None, *, unseen: Identity = None) -> Identity:
    """The identity of the file, which differs for another file of the same name; None if there is none."""
    if file is None:
        return None
    try:
        found = os.stat(file)  # noqa: PTH116 — for each read: 1.5 µs less than Path.stat
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        # It cannot be seen, which is no loss.
        return unseen
    return found.st_dev, found.st_ino
