"""Checks that the files of an open database are in place, and makes them private."""

import os
import time
from contextlib import suppress
from pathlib import Path

from key_value.aio.core.directories import PRIVATE_FILE

__all__ = ["Files"]

# File systems take modification times from a clock with a resolution of 1 to 10 ms.
_MTIME_UNCERTAINTY_NANOSECONDS = 20_000_000


class Files:
    """The files of a database that this process has open."""

    def __init__(self, directory: Path) -> None:
        """Make the files private to the user. Raises OSError if there is no database."""
        self._directory = str(directory)
        self._lock_file = str(directory / "LOCK")
        # RocksDB keeps this file open as long as the database, so its inode number is not reused.
        self._identity = self._identify()
        self._checked_mtime_ns: int | None = None
        self.check_in_place()

    def check_in_place(self) -> bool:
        """Return whether the database is still in place, after making new files private.

        Takes 4 µs: creating or removing a file changes the modification time of the directory, so usually only that is
        checked.
        """
        try:
            changed = os.stat(self._directory).st_mtime_ns  # noqa: PTH116 — Path.stat takes three times as long
            if changed == self._checked_mtime_ns:
                return True
            if self._identify() != self._identity:
                return False
            self._make_private()
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._checked_mtime_ns = changed if time.time_ns() - changed > _MTIME_UNCERTAINTY_NANOSECONDS else None
        return True

    def is_replaced(self) -> bool:
        """Whether another database has replaced this one."""
        try:
            return self._identify() != self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False

    def _identify(self) -> tuple[int, int]:
        found = os.stat(self._lock_file)  # noqa: PTH116 — as above
        return found.st_dev, found.st_ino

    def _make_private(self) -> None:
        with os.scandir(self._directory) as files:
            for file in files:
                # The file has been removed meanwhile, or belongs to another user.
                with suppress(FileNotFoundError, PermissionError):
                    if file.is_file(follow_symlinks=False) and file.stat().st_mode & 0o077:
                        os.chmod(file.path, PRIVATE_FILE)  # noqa: PTH101 — as above
