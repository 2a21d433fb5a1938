"""The location of a database, and blocking functions to open it."""

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES
from pathlib import Path
from stat import S_ISDIR
from typing import NoReturn

from key_value.aio.core.directories import PRIVATE_FILE, make_directories
from key_value.aio.errors import (
    BaseKeyValueError,
    DeserializationError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.disk.database import FILE_NAME, Row, SQLiteDatabase

__all__ = ["Imports", "Location", "NotPreparedError", "Options", "check_directory"]

Imports = Mapping[str, Iterable[Row]]
"""Source of entries of earlier versions → its rows, read lazily."""

# Before Python 3.11, sqlite3 errors have no error code. The texts are from sqlite3ErrStr in https://sqlite.org/src.
_LOCKED: Mapping[str, type[BaseKeyValueError]] = {"locked": StoreTimeoutError}
_CORRUPT: Mapping[str, type[BaseKeyValueError]] = {
    "malformed": DeserializationError,
    "not a database": DeserializationError,
}

_HAS_DIRECTORY_DESCRIPTORS = os.unlink in os.supports_dir_fd and os.open in os.supports_dir_fd


class NotPreparedError(Exception):
    """The database must be opened for writing before it can be read."""


@dataclass(frozen=True)
class Options:
    """The options of a store that apply to its databases. Sizes are in bytes, times in seconds."""

    max_size: int | None
    full: bool
    timeout: float
    required: Path | None
    """A directory that must exist already; None if missing directories are created."""


class Location:
    """The directory and the file of a database."""

    def __init__(self, path: Path, options: Options, find_imports: Callable[[], Imports]) -> None:
        self.path = path
        self.file: Path = path / FILE_NAME
        # Row ids of reads, for the writer to record as uses. The oldest are dropped when there are too many.
        self.pending_uses: deque[int] = deque(maxlen=10_000)
        # Incremented when the writer reopens the database, so that the reader reopens it too.
        self.generation = 0
        self._options = options
        self._find_imports = find_imports

    def has_data(self) -> bool:
        """Whether there is a database, or data of earlier versions to import."""
        return self.file.exists() or bool(self._find_imports())

    def open_for_reading(self) -> SQLiteDatabase:
        """Open an existing database. Raises NotPreparedError, or StoreSetupError for a file that is not a database."""
        if not self.file.exists():
            raise NotPreparedError
        try:
            database = self._connect()
            try:
                is_prepared = database.prepare_for_reading(self._find_imports())
            except BaseException:
                database.close()
                raise
        except sqlite3.Error as exc:
            self.reraise(exc, opening=True)
        if not is_prepared:
            database.close()
            raise NotPreparedError
        return database

    def open_for_writing(self) -> SQLiteDatabase:
        """Create missing files and tables, and import data of earlier versions. Raises StoreSetupError on failure."""
        check_directory(self.path, required=self._options.required)
        try:
            self._create_file()
        except OSError as exc:
            raise _unusable(self.path, exc) from exc
        try:
            database = self._connect()
            try:
                database.prepare_for_writing(full=self._options.full, timeout=self._options.timeout)
                for source, rows in self._find_imports().items():
                    database.begin()
                    database.import_rows(source, rows)
                    database.commit()
            except BaseException:
                database.close()
                raise
        except sqlite3.Error as exc:
            self.reraise(exc, opening=True)
        return database

    def _create_file(self) -> None:
        if not _HAS_DIRECTORY_DESCRIPTORS:
            _create_private(self.file)
            return
        from fcntl import LOCK_EX, flock

        directory = os.open(self.path, os.O_RDONLY)
        try:
            # With the lock held and no database yet, no other process creates the files next to it.
            flock(directory, LOCK_EX)
            if not self.file.exists():
                # These belong to a database that is being removed, and may be mapped by processes that have it open.
                # SQLite would truncate the index, and a process that reads it would get SIGBUS.
                for suffix in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.unlink(f"{FILE_NAME}{suffix}", dir_fd=directory)
            _create_private(FILE_NAME, directory)
        finally:
            os.close(directory)

    def reraise(self, error: sqlite3.Error, *, opening: bool = False) -> NoReturn:
        """Raise the library's error for an error of SQLite, with the file name."""
        known, otherwise = (_LOCKED, StoreSetupError) if opening else ({**_LOCKED, **_CORRUPT}, StoreConnectionError)
        text = str(error)
        meaning = next((meaning for part, meaning in known.items() if part in text), otherwise)
        message = f"{self.file}: {text}"
        raise meaning(message) from error

    def _connect(self) -> SQLiteDatabase:
        return SQLiteDatabase(
            self.file, timeout=self._options.timeout, max_size=self._options.max_size, pending_uses=self.pending_uses
        )


def _create_private(file: Path | str, directory: int | None = None) -> None:
    """Create the file if missing, private to the user. SQLite gives its other files the same mode."""
    # Never opens an existing file: closing it would release the locks of all connections of this process to it, and
    # another process could then remove their log: https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE, dir_fd=directory))


def check_directory(path: Path, *, required: Path | None) -> None:
    """Create the directory if missing, and check that it is writable. A `required` directory is not created.

    Raises StoreSetupError, with the path and the reason.
    """
    if required is not None:
        try:
            required.stat()
        except OSError as exc:
            raise _unusable(required, exc, "; with auto_create=False the directory must exist") from exc
    try:
        make_directories(path)
        is_directory = _is_directory_or_absent(path)
    except OSError as exc:
        raise _unusable(path, exc) from exc
    if not is_directory:
        message = f"{path} is not a directory; the store needs one there"
        raise StoreSetupError(message)
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _unusable(path, PermissionError(EACCES, os.strerror(EACCES)))


def _is_directory_or_absent(path: Path) -> bool:
    # In one system call: other processes may remove and create the directory meanwhile.
    try:
        return S_ISDIR(path.stat().st_mode)
    except FileNotFoundError:
        return not path.is_symlink()


def _unusable(path: Path, error: OSError, hint: str = "") -> StoreSetupError:
    return StoreSetupError(f"cannot store entries in the directory {path}: {error.strerror}{hint}")
