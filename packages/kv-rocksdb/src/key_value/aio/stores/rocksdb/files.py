"""The files of an open database: whether they are still in place, and their permissions."""

import os
import time
from contextlib import suppress
from pathlib import Path

from key_value.aio.core.directories import PRIVATE_FILE

__all__ = ["Files"]

# File systems take the time of a change from a clock that ticks every 1 to 10 ms.
_NANOSECONDS_OF_DOUBT = 20_000_000


class Files:
    """The files in the directory of a database that this process has open."""

    def __init__(self, directory: Path) -> None:
        """Make the files private. Raises OSError if there is no database."""
        self._directory = str(directory)
        self._lock_file = str(directory / "LOCK")
        # RocksDB holds this file as long as the database is open, so that no other gets its number.
        self._identity = self._identify()
        self._looked_at: int | None = None
        self.look()

    def look(self) -> bool:
        """Whether the database is still in place. New files since the last call become private.

        Costs 4 µs, because whatever makes or removes a file changes the time of its directory.
        """
        try:
            changed = os.stat(self._directory).st_mtime_ns  # noqa: PTH116 — of a Path it takes three times as long
            if changed == self._looked_at:
                return True
            if self._identify() != self._identity:
                return False
            self._make_private()
        except (FileNotFoundError, NotADirectoryError):
            return False
        self._looked_at = changed if time.time_ns() - changed > _NANOSECONDS_OF_DOUBT else None
        return True

    def are_replaced(self) -> bool:
        """Whether another database has taken the place of this one."""
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
                # RocksDB has removed it meanwhile, or it is another user's, who decides about it.
                with suppress(FileNotFoundError, PermissionError):
                    if file.is_file(follow_symlinks=False) and file.stat().st_mode & 0o077:
                        os.chmod(file.path, PRIVATE_FILE)  # noqa: PTH101 — as above
