"""A directory with a database in it, from the event loop: a thread that reads and one that writes."""

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn, TypeVar

from key_value.aio.core.codec import decode_value, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.worker import Worker
from key_value.aio.errors import (
    BaseKeyValueError,
    DeserializationError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.disk.database import (
    FILE_NAME,
    Database,
    Found,
    Row,
    commit_together,
    from_microseconds,
)
from typing_extensions import TypeVarTuple, Unpack

__all__ = ["Directory", "Imports", "make_directory"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

Imports = Mapping[str, Iterable[Row]]
"""Name of what earlier versions left → what it holds, read when it is iterated over."""

_USES_KEPT = 1000

# Python before 3.11 has no code of the error. The texts are SQLite's: sqlite3ErrStr in https://sqlite.org/src.
_LOCKED: Mapping[str, type[BaseKeyValueError]] = {"locked": StoreTimeoutError}
_CORRUPT: Mapping[str, type[BaseKeyValueError]] = {
    "malformed": DeserializationError,
    "not a database": DeserializationError,
}


class Directory:
    """Reads see what was written before them, and do not wait for writes. Writes that wait together share a commit.

    Errors of SQLite and of the file system are ours, and name the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_size: int | None,
        auto_create: bool,
        full: bool,
        timeout: float,
        find_imports: Callable[[], Imports],
    ) -> None:
        self.path = path
        self._file = path / FILE_NAME
        self._max_size = max_size
        self._auto_create = auto_create
        self._full = full
        self._timeout = timeout
        self._find_imports = find_imports
        self._uses: deque[int] = deque(maxlen=10 * _USES_KEPT)
        self._reader = Worker(self._open_for_reading, Database.close)
        self._writer = Worker(self._open_for_writing, Database.close, commit_together)

    async def open(self) -> None:
        await self.write(_nothing)

    async def close(self) -> None:
        await self._reader.close()
        if self._uses:
            await self.write(_nothing)
        await self._writer.close()

    async def read(self, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        try:
            result = await self._reader.run(function, *args)
        except sqlite3.Error as exc:
            self._reraise(exc)
        if len(self._uses) > _USES_KEPT:
            await self.write(_nothing)
        return result

    async def write(self, function: Callable[[Database, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        try:
            return await self._writer.run(function, *args)
        except sqlite3.Error as exc:
            self._reraise(exc)

    def entry(self, found: Found) -> ManagedEntry:
        row, _, expires_at, encoded = found
        if encoded is None:
            message = (
                f"row {row} of {self._file} was not JSON in the diskcache directory it comes from, and was not read: "
                "a pickle can run any code"
            )
            raise DeserializationError(message)
        try:
            value = decode_value(encoded)
        except (ValueError, RecursionError):
            value = None
        if type(value) is not dict:
            value = load_object(encoded, f"the value in row {row} of {self._file}")
        return ManagedEntry.from_decoded(value, None, from_microseconds(expires_at), None, None)

    def _reraise(self, error: sqlite3.Error, *, opening: bool = False) -> NoReturn:
        known, otherwise = (_LOCKED, StoreSetupError) if opening else ({**_LOCKED, **_CORRUPT}, StoreConnectionError)
        text = str(error)
        meaning = next((meaning for part, meaning in known.items() if part in text), otherwise)
        message = f"{self._file}: {text}"
        raise meaning(message) from error

    # In the threads

    def _connect(self) -> Database:
        return Database(self._file, timeout=self._timeout, max_size=self._max_size, uses=self._uses)

    def _open_for_reading(self) -> Database:
        database = self._connect()
        database.prepare_for_reading()
        return database

    def _open_for_writing(self) -> Database:
        make_directory(self.path, auto_create=self._auto_create)
        try:
            # Private to the user; SQLite gives its other files the same mode.
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as exc:
            raise _unusable(self.path, exc) from exc
        try:
            database = self._connect()
            try:
                database.prepare_for_writing(full=self._full, timeout=self._timeout)
                for source, rows in self._find_imports().items():
                    database.begin()
                    database.take_in(source, rows)
                    database.commit()
            except BaseException:
                database.close()
                raise
        except sqlite3.Error as exc:
            self._reraise(exc, opening=True)
        return database


def _nothing(_: Database) -> None:
    """What is due with every transaction happens all the same."""


def make_directory(path: Path, *, auto_create: bool) -> None:
    """Make sure that there is a directory. Raises StoreSetupError, which names it."""
    try:
        if auto_create:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        else:
            path.stat()
    except OSError as exc:
        raise _unusable(path, exc, "" if auto_create else "; with auto_create=False the directory must exist") from exc


def _unusable(path: Path, error: OSError, hint: str = "") -> StoreSetupError:
    return StoreSetupError(f"cannot keep entries in the directory {path}: {error.strerror}{hint}")
