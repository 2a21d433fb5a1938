"""Paths and permissions of a local store's files."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

__all__ = [
    "PRIVATE_DIRECTORY",
    "PRIVATE_FILE",
    "Durability",
    "PathOption",
    "is_full",
    "make_directories",
    "only_path",
    "user_path",
]

PRIVATE_FILE = 0o600
PRIVATE_DIRECTORY = 0o700

Durability = Literal["normal", "full"]
PathOption = str | os.PathLike[str] | None

_HAS_DIRECTORY_DESCRIPTORS = hasattr(os, "O_DIRECTORY")


def only_path(**spellings: PathOption) -> PathOption:
    """Return the path passed under one of several parameter names, or None. Raises ValueError for more than one."""
    given = [name for name, path in spellings.items() if path is not None]
    if len(given) > 1:
        message = f"pass {given[0]} or {given[1]}, not both"
        raise ValueError(message)
    return spellings[given[0]] if given else None


def is_full(durability: str) -> bool:
    """Return whether an acknowledged write must survive a power failure, not only the end of the process.

    Raises ValueError unless it is "normal" or "full".
    """
    if durability not in ("normal", "full"):
        message = f'durability must be "normal" or "full", not {durability!r:.80}'
        raise ValueError(message)
    return durability == "full"


def user_path(path: str | os.PathLike[str]) -> Path:
    """Return the absolute path with `~` expanded, so that a later chdir does not move the store.

    Raises ValueError for an empty path, and for the home directory of an unknown user.
    """
    if not os.fspath(path):
        message = "the path of the store must not be empty"
        raise ValueError(message)
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as exc:
        message = f"cannot determine the home directory in {os.fspath(path)}"
        raise ValueError(message) from exc


def make_directories(path: Path, *, fsync: bool = False) -> None:
    """Create the directory and its missing parents, accessible only to this user. Raises OSError.

    With `fsync`, the new directory entries are synced to disk.
    """
    missing = [path, *path.parents]
    while missing and missing[-1].is_dir():
        missing.pop()
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(PRIVATE_DIRECTORY)
        if fsync and _HAS_DIRECTORY_DESCRIPTORS:
            _sync(each.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
