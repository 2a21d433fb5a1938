"""The location of a database, and blocking functions to open it."""

import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from errno import EACCES
from pathlib import Path
from typing import NoReturn

from key_value.aio.core.directories import PRIVATE_FILE, make_directories
from key_value.aio.errors import (
    BaseKeyValueError,
    DeserializationError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.disk.database import FILE_NAME, Database, Row

__all__ = ["Imports", "Location", "NotPreparedError", "Options", "check_directory"]

Imports = Mapping[str, Iterable[Row]]
"""Name of a directory of earlier versions → its rows, read lazily."""

# Python before 3.11 has no code of the error. The texts are SQLite's: sqlite3ErrStr in https://sqlite.org/src.
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
    """The options of a store for its databases."""

    max_size: int | None
    full: bool
    timeout: float
    required: Path | None
    """A directory that must exist, and is never created."""


class Location:
    """A directory with a database in it."""

    def __init__(self, path: Path, options: Options, find_imports: Callable[[], Imports]) -> None:
        self.path = path
        self.file: Path = path / FILE_NAME
        # The ids of the rows that were read, for the writer to note. Of too many the oldest do not count.
        self.uses: deque[int] = deque(maxlen=10_000)
        # The reader opens the database again where the writer had to.
        self.openings = 0
        self._options = options
        self._find_imports = find_imports

    def holds_something(self) -> bool:
        """Whether there is a database, or data of earlier versions for one."""
        return self.file.exists() or bool(self._find_imports())

    def open_for_reading(self) -> Database:
        """Raises NotPreparedError, and StoreSetupError for a file that is not a database."""
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

    def open_for_writing(self) -> Database:
        """Create what is missing, and import the data of earlier versions. Raises StoreSetupError if it cannot."""
        check_directory(self.path, required=self._options.required)
        try:
            self._make_file()
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

    def _make_file(self) -> None:
        if not _HAS_DIRECTORY_DESCRIPTORS:
            _make_private(self.file)
            return
        from fcntl import LOCK_EX, flock

        directory = os.open(self.path, os.O_RDONLY)
        try:
            # One at a time; before there is a database nobody else makes the files beside it.
            flock(directory, LOCK_EX)
            if not self.file.exists():
                # Left of a database that is being removed, and mapped by who has it open: SQLite would cut the index
                # off, and whoever reads it then gets SIGBUS.
                for ending in ("-wal", "-shm"):
                    with suppress(FileNotFoundError):
                        os.unlink(f"{FILE_NAME}{ending}", dir_fd=directory)
            _make_private(FILE_NAME, directory)
        finally:
            os.close(directory)

    def reraise(self, error: sqlite3.Error, *, opening: bool = False) -> NoReturn:
        """Raise our error for SQLite's, with the name of the file."""
        known, otherwise = (_LOCKED, StoreSetupError) if opening else ({**_LOCKED, **_CORRUPT}, StoreConnectionError)
        text = str(error)
        meaning = next((meaning for part, meaning in known.items() if part in text), otherwise)
        message = f"{self.file}: {text}"
        raise meaning(message) from error

    def _connect(self) -> Database:
        return Database(self.file, timeout=self._options.timeout, max_size=self._options.max_size, uses=self.uses)


def _make_private(file: Path | str, directory: int | None = None) -> None:
    """Make the file where there is none, private to the user; SQLite gives its other files the same mode."""
    # One that is there is never opened: closing it would free the locks of every connection that the process has to it,
    # and another process then remove the log under them: https://sqlite.org/howtocorrupt.html#_posix_advisory_locks_canceled_by_a_separate_thread_doing_close_
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_FILE, dir_fd=directory))


def check_directory(path: Path, *, required: Path | None) -> None:
    """Create the directory if missing, unless it is `required`, and prove that it is writable.

    Raises a StoreSetupError that names it.
    """
    if required is not None:
        try:
            required.stat()
        except OSError as exc:
            raise _unusable(required, exc, "; with auto_create=False the directory must exist") from exc
    try:
        make_directories(path)
    except OSError as exc:
        raise _unusable(path, exc) from exc
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise _unusable(path, PermissionError(EACCES, os.strerror(EACCES)))


def _unusable(path: Path, error: OSError, hint: str = "") -> StoreSetupError:
    return StoreSetupError(f"cannot store entries in the directory {path}: {error.strerror}{hint}")
