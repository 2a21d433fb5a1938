"""The one module that talks to rocksdict: opens databases, reads and writes texts by name, says what errors mean."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.worker import Call
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
)
from rocksdict import DbClosedError, Rdict, WriteBatch, WriteOptions

__all__ = ["DRIVER_ERRORS", "Database", "Page", "make_calls", "opener_of_client", "opener_of_path"]

DRIVER_ERRORS: DriverErrors = {
    # The database that was passed in has been closed.
    DbClosedError: StoreConnectionError,
}

Page = list[tuple[str, object]]
"""Names in order, and what is stored under them: text as bytes or str, or what no store writes."""

_PAGE_ENTRIES = 500
_PAGE_BYTES = 4_000_000


class Database:
    """A database and how it is written. One thread uses it."""

    def __init__(
        self,
        where: str,
        open_client: Callable[[], Rdict],
        close_client: Callable[[Rdict], object],
        *,
        sync: bool,
    ) -> None:
        """With `sync` a write returns when the medium has it."""
        self.where = where
        self._open_client = open_client
        self._close_client = close_client
        self._client: Rdict | None = open_client()
        self._options = WriteOptions()
        self._options.sync = sync

    def check(self) -> None:
        """Raise StoreSetupError when it cannot hold entries."""
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
        self._opened().put(name, text, self._options)

    def put_many(self, names: Sequence[str], texts: Sequence[bytes]) -> None:
        batch = WriteBatch()
        for name, text in zip(names, texts, strict=True):
            batch[name] = text
        self._opened().write(batch, self._options)

    def delete_many(self, names: list[str]) -> list[object]:
        """What was stored under the names, which is removed."""
        found = self.get_many(names)
        batch = WriteBatch()
        for name, stored in zip(names, found, strict=True):
            if stored is not None:
                del batch[name]
        if not batch.is_empty():
            self._opened().write(batch, self._options)
        return found

    def page(self, start: str, end: str | None) -> Page:
        """The first names from `start` to before `end`, None for the last; empty when there are no more."""
        return list(self.walk(start, end))

    def walk(self, start: str, end: str | None) -> Iterator[tuple[str, object]]:
        """A page, one name after the other."""
        size = 0
        for count, (name, stored) in enumerate(self._opened().items(from_key=start), 1):
            # Names of other types than str, which others may use, come before all str or after them.
            if type(name) is not str or (end is not None and name >= end):
                return
            yield name, stored
            size += len(stored) if isinstance(stored, (bytes, str)) else 0
            if count >= _PAGE_ENTRIES or size >= _PAGE_BYTES:
                return

    def delete_in_page(self, start: str, end: str | None, doomed: Callable[[str, object], bool]) -> tuple[str, int]:
        """Remove what is doomed in the next page; where the page after it starts, "" after the last, and how many.

        What lies together is removed as a range: a hundred names cost as much as one.
        """
        batch = WriteBatch()
        first, past, count = None, "", 0
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
            self._opened().write(batch, self._options)
        return past, count

    def reopen_later(self) -> None:
        """Close a database that RocksDB refuses to write to since an error, so that the next call opens it again."""
        # Closing tells of the same error.
        with suppress(KeyValueStoreError):
            self.close()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        try:
            self._close_client(client)
        except Exception as exc:
            raise KeyValueStoreError(_failed(self.where, exc)) from exc

    def _opened(self) -> Rdict:
        if self._client is None:
            self._client = self._open_client()
        return self._client


def opener_of_path(path: Path, *, create: bool, sync: bool) -> Callable[[], Database]:
    """What opens the database in a directory. Raises StoreSetupError."""

    def open_client() -> Rdict:
        if not create and not (path / "CURRENT").is_file():
            message = f"there is no RocksDB database in {path}; create it, or pass auto_create=True"
            raise StoreSetupError(message)
        try:
            client = Rdict(str(path))
        except Exception as exc:
            raise StoreSetupError(_why_not_opened(path, str(exc))) from exc
        # Nothing that is stored is unpickled. What was pickled reads as what is no text.
        client.set_loads(_Pickle)
        return client

    return lambda: Database(str(path), open_client, Rdict.close, sync=sync)


def opener_of_client(client: Rdict, *, sync: bool) -> Callable[[], Database]:
    """What uses a caller's database, which stays the caller's to close."""
    process = os.getpid()

    def open_client() -> Rdict:
        if os.getpid() != process:
            message = (
                "the RocksDB database passed as db= was open when this process was forked from another, which RocksDB "
                "does not survive: open it after forking"
            )
            raise StoreSetupError(message)
        return client

    return lambda: Database("passed as db=", open_client, _leave_open, sync=sync)


def make_calls(database: Database, calls: Sequence[Call[Database]]) -> None:
    """Make each call. rocksdict raises plain Exception for whatever RocksDB reports: here it becomes one of ours."""
    for call in calls:
        call.make(database)
        if type(call.error) is Exception:
            call.error = _meaning(database, call.error)


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
            f"the RocksDB database {path} is open in this process already, or was when the process was forked: share "
            "one store or pass one Rdict as db=, and open it after forking"
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


def _leave_open(_: Rdict) -> None:
    """A database that was passed in is its owner's to close."""


class _Pickle:
    def __init__(self, pickled: bytes) -> None:
        """Forget it."""
