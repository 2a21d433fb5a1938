"""The one module that talks to rocksdict: opens databases, reads and writes texts by name, translates errors."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from key_value.aio.core.directories import make_directories
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.forks import ParentsAlone
from key_value.aio.core.worker import Job
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
)
from key_value.aio.stores.rocksdb.files import Files
from rocksdict import DbClosedError, Rdict, WriteBatch, WriteOptions

__all__ = ["DRIVER_ERRORS", "PAGE_ENTRIES", "Database", "Page", "make_calls", "opener_of_client", "opener_of_path"]

DRIVER_ERRORS: DriverErrors = {
    # The database that was passed in has been closed.
    DbClosedError: StoreConnectionError,
}

Page = list[tuple[str, object]]
"""Names in order, with their stored data: text as bytes or str, or other objects, which no store writes."""

_locks: dict[tuple[int, int], threading.Lock] = {}
"""One for each Rdict that was passed in, which several stores may share, by process and id: a fork may copy a held one.

They stay, 200 bytes each, because only `dict.setdefault` lets threads that ask at once have the same one.
"""

# Its threads flush what is written, and stay when the last database is closed. A child would wait for them.
_rocksdb = ParentsAlone("RocksDB")

PAGE_ENTRIES = 500
_PAGE_BYTES = 4_000_000


class Database:
    """A database and its operations. One thread uses it."""

    def __init__(
        self,
        where: str,
        open_client: Callable[[], Rdict],
        close_client: Callable[[Rdict], object],
        lock: threading.Lock,
        *,
        sync: bool,
        path: Path | None = None,
    ) -> None:
        """All writers to the same database hold the lock. With `sync` a write returns once it is on disk.

        `path` is the path of a database opened here.
        """
        self.where = where
        self._path = path
        self._open_client = open_client
        self._close_client = close_client
        self._client: Rdict | None = None
        self._files: Files | None = None
        self._lock = lock
        self._options = WriteOptions()
        self._options.sync = sync
        self._opened()

    def check(self) -> None:
        """Raise StoreSetupError if it cannot hold entries."""
        try:
            # Does not read: a damaged page must not keep the others from being read.
            self._opened().key_may_exist("")
        except KeyError as exc:
            message = (
                f"the RocksDB database {self.where} was made in rocksdict's raw mode, which has no names of type str"
            )
            raise StoreSetupError(message) from exc

    def get(self, name: str) -> object:
        return self._opened().get(name)

    def get_many(self, names: list[str]) -> list[object]:
        return cast("list[object]", self._opened().get(cast("list[Any]", names)))

    def put(self, name: str, text: bytes) -> None:
        client = self._opened()
        with self._lock:
            client.put(name, text, self._options)

    def put_if(self, name: str, text: bytes, expected: Callable[[object], bool]) -> bool:
        """Put the text if the stored data is as expected; return whether it did."""
        client = self._opened()
        with self._lock:
            if not expected(client.get(name)):
                return False
            client.put(name, text, self._options)
            return True

    def delete_if(self, name: str, expected: Callable[[object], bool]) -> bool:
        client = self._opened()
        with self._lock:
            if not expected(client.get(name)):
                return False
            client.delete(name, self._options)
            return True

    def put_many(self, names: Sequence[str], texts: Sequence[bytes]) -> None:
        batch = WriteBatch()
        for name, text in zip(names, texts, strict=True):
            batch[name] = text
        client = self._opened()
        with self._lock:
            client.write(batch, self._options)

    def delete_many(self, names: list[str]) -> list[object]:
        """Remove the names and return their stored data."""
        batch = WriteBatch()
        client = self._opened()
        with self._lock:
            found = self.get_many(names)
            for name, stored in zip(names, found, strict=True):
                if stored is not None:
                    del batch[name]
            if not batch.is_empty():
                client.write(batch, self._options)
        return found

    def page(self, start: str, end: str | None) -> Page:
        """The first names from `start` to before `end`, None for the last; empty when there are no more."""
        return list(self.walk(start, end))

    def walk(self, start: str, end: str | None, entries: int = PAGE_ENTRIES) -> Iterator[tuple[str, object]]:
        """A page of at most so many names, one after the other."""
        size = 0
        for count, (name, stored) in enumerate(self._opened().items(from_key=start), 1):
            # Names of other types than str, which others may use, come before all str or after them.
            if type(name) is not str or (end is not None and name >= end):
                return
            yield name, stored
            size += len(stored) if isinstance(stored, (bytes, str)) else 0
            if count >= entries or size >= _PAGE_BYTES:
                return

    def delete_in_page(self, start: str, end: str | None, doomed: Callable[[str, object], bool]) -> tuple[str, int]:
        """Remove the doomed names of the next page; return the start of the page after it, "" after the last, and how
        many.

        Adjacent names are removed as a range: a hundred cost as much as one.
        """
        batch = WriteBatch()
        first, past, count = None, "", 0
        client = self._opened()
        with self._lock:
            for name, stored in self.walk(start, end):
                past = _after(name)
                if doomed(name, stored):
                    first = name if first is None else first
                    count += 1
                elif first is not None:
                    batch.delete_range(first, name)
                    first = None
            if first is not None:
                batch.delete_range(first, past)
            if count:
                client.write(batch, self._options)
        return past, count

    def confirm(self) -> None:
        """Raise StoreConnectionError if the files have been removed, because the write would be lost."""
        if self._files is not None and not self._files.look():
            self.reopen_later()
            message = (
                f"the RocksDB database {self.where} has been removed while it was open, with all that it held; "
                "the next call opens what is there now"
            )
            raise StoreConnectionError(message)

    def reopen_later(self) -> None:
        """Close a database that an error has made unusable, so that the next call opens it again."""
        # Closing tells of the same error.
        with suppress(KeyValueStoreError):
            self.close()

    def close(self) -> None:
        client, self._client = self._client, None
        files, self._files = self._files, None
        if client is None:
            return
        if files is not None and files.are_replaced():
            _hold_forever(client)
            return
        try:
            self._close_client(client)
        except Exception as exc:
            raise KeyValueStoreError(_failed(self.where, exc)) from exc
        if files is not None:
            files.look()

    def _opened(self) -> Rdict:
        if self._client is None:
            self._client = self._open_client()
            self._files = None if self._path is None else Files(self._path)
        return self._client


def opener_of_path(path: Path, *, create: bool, sync: bool) -> Callable[[], Database]:
    """A function that opens the database in a directory, and raises StoreSetupError."""

    def open_client() -> Rdict:
        _rocksdb.use()
        if not create and not (path / "CURRENT").is_file():
            message = f"there is no RocksDB database in {path}; create it, or pass auto_create=True"
            raise StoreSetupError(message)
        try:
            # Before RocksDB makes it with the rights that the umask leaves to others.
            make_directories(path)
            client = Rdict(str(path))
        except Exception as exc:
            raise StoreSetupError(_why_not_opened(path, str(exc))) from exc
        # Stored data is never unpickled. Pickled data reads as something other than text.
        client.set_loads(_Pickle)
        return client

    return lambda: Database(str(path), open_client, Rdict.close, threading.Lock(), sync=sync, path=path)


def opener_of_client(client: Rdict, *, sync: bool) -> Callable[[], Database]:
    """A function that uses a caller's database, which the caller closes."""
    process = os.getpid()

    def open_client() -> Rdict:
        if os.getpid() != process:
            message = (
                "the RocksDB database passed as db= was open when this process was forked, and RocksDB does "
                "not survive a fork: open it after forking"
            )
            raise StoreSetupError(message)
        _rocksdb.use()
        return client

    lock = _locks.setdefault((process, id(client)), threading.Lock())
    return lambda: Database("passed as db=", open_client, _leave_open, lock, sync=sync)


def make_calls(database: Database, calls: Sequence[Job[Database]]) -> None:
    """Make each call. rocksdict raises plain Exception for all of RocksDB's errors; here they become ours."""
    for call in calls:
        call.make(database)
        if type(call.error) is Exception:
            call.error = _meaning(database, call.error)
    database.confirm()


def _meaning(database: Database, error: Exception) -> Exception:
    text = str(error)
    if text.startswith("IO error"):
        database.reopen_later()
    kind = DeserializationError if text.startswith("Corruption") else KeyValueStoreError
    meaning = kind(_failed(database.where, error))
    meaning.__cause__ = error
    return meaning


def _failed(where: str, error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"the RocksDB database {where} failed: {text}"


def _why_not_opened(path: Path, error: str) -> str:
    text = error.partition("\n")[0]
    if "lock hold by current process" in text:
        return (
            f"the RocksDB database {path} is open in this process already, was when the process was forked, or took "
            "the place of one that was: share one store or pass one Rdict as db=, open it after forking, or restart "
            "the program"
        )
    if "While lock file" in text:
        return (
            f"another process holds the RocksDB database {path}, and RocksDB lets only one open it: "
            "close it there, or give each process a path of its own"
        )
    if path.exists() and not path.is_dir():
        return f"the path of a RocksDB database is a directory, and {path} is not"
    return f"cannot open the RocksDB database {path}: {text}"


def _after(name: str) -> str:
    return name + "\0"


def _hold_forever(client: Rdict) -> None:
    """Keep a database from being closed, when the process ends too.

    Closing writes what is in memory to files of the next numbers: in a directory that has another database by now,
    these are the other's. rocksdict has no way to close without.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


def _leave_open(_: Rdict) -> None:
    """A database that was passed in is its owner's to close."""


class _Pickle:
    def __init__(self, pickled: bytes) -> None:
        """Forget it."""
