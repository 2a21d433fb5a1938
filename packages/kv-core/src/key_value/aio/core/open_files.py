"""Files that a driver opens once per process and shares among connections: detects moved or deleted ones."""

import os
from collections import Counter
from pathlib import Path

from key_value.aio.core.forks import new_lock

__all__ = ["OpenFile"]

_lock = new_lock()

_in_use: Counter[tuple[Path, int]] = Counter()
"""The number of connections to a file, by path and process id. A forked child inherits its parent's counts."""

_identities: dict[tuple[Path, int], tuple[int, int]] = {}
"""Device and inode number of the file when its first connection was opened."""


class OpenFile:
    """The use of an open file by one connection, until `release`."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._use: tuple[Path, int] | None = (path.resolve(), os.getpid())
        with _lock:
            if not _in_use[self._use]:
                _identities[self._use] = _identify(self._path) or (0, 0)
            _in_use[self._use] += 1

    @staticmethod
    def is_parents(path: Path) -> bool:
        """Return whether a parent of this process had the file open when it forked."""
        file, process = path.resolve(), os.getpid()
        return any(used == file and user != process and count for (used, user), count in _in_use.items())

    def is_in_place(self) -> bool:
        """Return whether the path still refers to the file that its first connection opened."""
        return self._use is None or _identify(self._path) == _identities[self._use]

    def release(self) -> None:
        with _lock:
            if self._use is not None:
                _in_use[self._use] -= 1
                self._use = None


def _identify(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 — Path.stat takes three times as long
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino
