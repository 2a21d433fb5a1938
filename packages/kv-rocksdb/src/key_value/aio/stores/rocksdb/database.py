"""The only module that uses rocksdict: opens databases, reads and writes text by name, translates errors."""

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from weakref import WeakValueDictionary

from key_value.aio.core.directories import make_directories
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.forks import ForkGuard
from key_value.aio.core.worker import Job
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
)
from key_value.aio.stores.rocksdb.files import Files
from rocksdict import DbClosedError, Rdict, WriteBatch, WriteOptions

__all__ = ["DRIVER_ERRORS", "PAGE_ENTRIES", "Page", "RocksDatabase", "client_opener", "make_calls", "path_opener"]

DRIVER_ERRORS: DriverErrors = {
    # The caller has closed the database passed to the store.
    DbClosedError: StoreConnectionError,
}

Page = list[tuple[str, object]]
"""Names in order, with their data: text as bytes or str, or other objects, which are not written by stores."""

_locks: dict[tuple[int, int], threading.Lock] = {}
"""Process id and id of each Rdict that callers passed → the lock that all stores using it share.

The process id is part of the key, because a fork may copy a lock that is held. Locks (200 bytes each) are never
removed, so that `dict.setdefault` is enough for concurrent threads to get the same lock.
"""

_open_databases: "WeakValueDictionary[str, RocksDatabase]" = WeakValueDictionary()
"""Path → the database that a store of this process has opened there."""

_paths_open_forever: set[str] = set()
"""Paths that this process cannot open again, because another database has replaced the open one."""

# RocksDB's flush threads outlive the last database. A forked child does not have them, and would wait for them forever.
_rocksdb = ForkGuard("RocksDB")

PAGE_ENTRIES = 500
_PAGE_BYTES = 4_000_000


class RocksDatabase:
    """A database and its operations, used by one thread."""

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
        """All writers to the same database share `lock`. With `sync` a write returns once it is on disk.

        `path` is None for a database that the caller opened.
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
        self._get_client()

    def check(self) -> None:
        """Raise StoreSetupError if the database cannot store entries."""
        try:
            # Does not read data: a damaged page must not make the other pages unusable.
            self._get_client().key_may_exist("")
        except KeyError as exc:
            message = (
                f"the RocksDB database {self.where} was created in rocksdict's raw mode, which has no names of type str"
            )
            raise StoreSetupError(message) from exc

    def get(self, name: str) -> object:
        return self._get_client().get(name)

    def get_many(self, names: list[str]) -> list[object]:
        return cast("list[object]", self._get_client().get(cast("list[Any]", names)))

    def put(self, name: str, text: bytes) -> None:
        client = self._get_client()
        with self._lock:
            client.put(name, text, self._options)

    def put_if(self, name: str, text: bytes, expected: Callable[[object], bool]) -> bool:
        """Put the text if the stored data is as expected; return whether it was put."""
        client = self._get_client()
        with self._lock:
            if not expected(client.get(name)):
                return False
            client.put(name, text, self._options)
            return True

    def delete_if(self, name: str, expected: Callable[[object], bool]) -> bool:
        client = self._get_client()
        with self._lock:
            if not expected(client.get(name)):
                return False
            client.delete(name, self._options)
            return True

    def put_many(self, names: Sequence[str], texts: Sequence[bytes]) -> None:
        batch = WriteBatch()
        for name, text in zip(names, texts, strict=True):
            batch[name] = text
        client = self._get_client()
        with self._lock:
            client.write(batch, self._options)

    def delete_many(self, names: list[str]) -> list[object]:
        """Delete the names; return the data they had."""
        batch = WriteBatch()
        client = self._get_client()
        with self._lock:
            found = self.get_many(names)
            for name, stored in zip(names, found, strict=True):
                if stored is not None:
                    del batch[name]
            if not batch.is_empty():
                client.write(batch, self._options)
        return found

    def page(self, start: str, end: str | None) -> Page:
        """Return the first names from `start` up to but excluding `end` (None: no end); empty if there are none."""
        return list(self.iterate(start, end))

    def iterate(self, start: str, end: str | None, entries: int = PAGE_ENTRIES) -> Iterator[tuple[str, object]]:
        """Yield a page of at most this many names."""
        size = 0
        for count, (name, stored) in enumerate(self._get_client().items(from_key=start), 1):
            # Names of other types, written by other applications, sort before or after all str.
            if type(name) is not str or (end is not None and name >= end):
                return
            yield name, stored
            size += len(stored) if isinstance(stored, (bytes, str)) else 0
            if count >= entries or size >= _PAGE_BYTES:
                return

    def delete_in_page(
        self, start: str, end: str | None, is_selected: Callable[[str, object], bool]
    ) -> tuple[str, int]:
        """Delete the selected names of a page; return the start of the following page ("" if none) and the count.

        Adjacent names are deleted as a range: a hundred cost as much as one.
        """
        batch = WriteBatch()
        first, past, count = None, "", 0
        client = self._get_client()
        with self._lock:
            for name, stored in self.iterate(start, end):
                past = _after(name)
                if is_selected(name, stored):
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

    def check_in_place(self) -> None:
        """Raise StoreConnectionError if the files have been removed, because writes would be lost."""
        if self._files is not None and not self._files.check_in_place():
            self.reopen_later()
            message = (
                f"the RocksDB database {self.where} has been removed while it was open, with all its data; "
                "the next call opens the database again"
            )
            raise StoreConnectionError(message)

    def reopen_later(self) -> None:
        """Close a database that an error has made unusable, so that the next call reopens it."""
        # Closing raises the same error again.
        with suppress(KeyValueStoreError):
            self.close()

    def close(self) -> None:
        client, self._client = self._client, None
        if self._path is not None and _open_databases.get(self.where) is self:
            del _open_databases[self.where]
        files, self._files = self._files, None
        if client is None:
            return
        if files is not None and files.is_replaced():
            _keep_open_forever(client)
            _paths_open_forever.add(self.where)
            return
        try:
            self._close_client(client)
        except Exception as exc:
            raise KeyValueStoreError(_failure_message(self.where, exc)) from exc
        if files is not None:
            files.check_in_place()

    def _get_client(self) -> Rdict:
        if self._client is None:
            self._client = self._open_client()
            if self._path is not None:
                _open_databases[self.where] = self
                self._files = Files(self._path)
        return self._client


def path_opener(path: Path, *, create: bool, sync: bool) -> Callable[[], RocksDatabase]:
    """Return a function that opens the database in a directory. It raises StoreSetupError if that fails."""

    def open_client() -> Rdict:
        _rocksdb.use()
        if not create and not (path / "CURRENT").is_file():
            message = f"there is no RocksDB database in {path}; create it, or pass auto_create=True"
            raise StoreSetupError(message)
        try:
            # Created here as private; RocksDB would create it with the permissions that the umask allows.
            make_directories(path)
            client = Rdict(str(path))
        except Exception as exc:
            raise StoreSetupError(_open_error(path, str(exc))) from exc
        # Never unpickle stored data. Pickled values are read as an object that is not text.
        client.set_loads(_Pickle)
        return client

    return lambda: RocksDatabase(str(path), open_client, Rdict.close, threading.Lock(), sync=sync, path=path)


def client_opener(client: Rdict, *, sync: bool) -> Callable[[], RocksDatabase]:
    """Return a function that uses a database which the caller opened and closes."""
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
    return lambda: RocksDatabase("passed as db=", open_client, _leave_open, lock, sync=sync)


def make_calls(database: RocksDatabase, calls: Sequence[Job[RocksDatabase]]) -> None:
    """Run each call, and translate its error: rocksdict raises plain Exception for all errors of RocksDB."""
    for call in calls:
        call.make(database)
        if type(call.error) is Exception:
            call.error = _translated(database, call.error)
    database.check_in_place()


def _translated(database: RocksDatabase, error: Exception) -> Exception:
    text = str(error)
    if text.startswith("IO error"):
        database.reopen_later()
    kind = DeserializationError if text.startswith("Corruption") else KeyValueStoreError
    translated = kind(_failure_message(database.where, error))
    translated.__cause__ = error
    return translated


def _failure_message(where: str, error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return f"the RocksDB database {where} failed: {text}"


def _open_error(path: Path, error: str) -> str:
    text = error.partition("\n")[0]
    if "lock hold by current process" in text:
        return _open_in_process_error(str(path))
    if "While lock file" in text:
        return (
            f"another process has the RocksDB database {path} open, and RocksDB allows only one process: "
            "close it there, or give each process its own path"
        )
    if path.exists() and not path.is_dir():
        return f"the path of a RocksDB database is a directory, and {path} is not"
    return f"cannot open the RocksDB database {path}: {text}"


def _open_in_process_error(path: str) -> str:
    if path in _paths_open_forever:
        return (
            f"another database replaced {path} while this process had the RocksDB database there open, and the "
            "process cannot open the new one: restart the program"
        )
    if path in _open_databases:
        return f"another store in this process has the RocksDB database {path} open: share one store"
    return (
        f"the RocksDB database {path} is already open in this process, or was when it was forked: share one store, "
        "pass the open Rdict as db=, or open it only after forking"
    )


def _after(name: str) -> str:
    return name + "\0"


def _keep_open_forever(client: Rdict) -> None:
    """Prevent a database from ever being closed, even at the end of the process.

    Closing flushes memory to files with the next numbers. If another database has replaced this one in its directory,
    that would overwrite the other's files. rocksdict cannot close without flushing.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(client))


def _leave_open(_: Rdict) -> None:
    """Do nothing: the caller closes its own database."""


class _Pickle:
    def __init__(self, pickled: bytes) -> None:
        """Discard the pickled bytes."""
