"""The file system: directories in which names are looked up without following a link."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from key_value.aio.errors import (
    BaseKeyValueError,
    KeyValueStoreError,
    PathSecurityError,
    StoreConnectionError,
    StoreSetupError,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Directory", "File", "is_temporary", "make_directories", "meaning_of", "temporary_name"]

_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
# A pipe that lies where a file should must not block the one who opens it.
_READ: int = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE: int = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0)
_OPEN_DIRECTORY: int = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)

_HAS_DESCRIPTORS = bool(
    _NO_FOLLOW
    and hasattr(os, "O_DIRECTORY")
    and {os.open, os.stat, os.unlink, os.rename, os.link} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
)

_WINDOWS_JUNCTION = 0xA0000003  # a link to all but `stat`

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}[^/]*\.tmp")


class File(NamedTuple):
    content: bytes
    status: os.stat_result


class Directory:
    """An open directory. Relative to its descriptor where the platform has that; else by path, with a check before.

    Not found is FileNotFoundError; a link in place of the directory or of a file is PathSecurityError.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None
        if not _HAS_DESCRIPTORS:
            _check_directory(path, os.lstat(path))
            return
        try:
            self._descriptor = os.open(path, _OPEN_DIRECTORY)
        except FileNotFoundError:
            raise
        except OSError:
            _check_directory(path, os.lstat(path))
            raise

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def path_of(self, name: str) -> str:
        return f"{self.path}{os.sep}{name}"

    def _at(self, name: str) -> str:
        return name if self._descriptor is not None else self.path_of(name)

    def status(self, name: str) -> os.stat_result | None:
        try:
            return os.stat(self._at(name), dir_fd=self._descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def read(self, name: str) -> File | None:
        if not _NO_FOLLOW:
            self._check_file(name)
        try:
            descriptor = os.open(self._at(name), _READ, dir_fd=self._descriptor)
        except FileNotFoundError:
            return None
        except OSError:
            self._check_file(name)
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                self._check_file(name)
            # Files are replaced and never changed: what the status says of the size holds.
            content = os.read(descriptor, status.st_size)
            while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
                content += more
            return File(content, status)
        finally:
            os.close(descriptor)

    def write(self, name: str, content: bytes, *, fsync: bool) -> None:
        """Replace the file as a whole. With `fsync` its content is on disk before, the name only after `sync`."""
        temporary = temporary_name()
        descriptor = os.open(self._at(temporary), _CREATE, _PRIVATE_FILE, dir_fd=self._descriptor)
        try:
            try:
                written = os.write(descriptor, content)
                while written < len(content):
                    written += os.write(descriptor, memoryview(content)[written:])
                if fsync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self._replace(temporary, name)
        except BaseException:
            with suppress(OSError):
                self.remove(temporary)
            raise

    def create(self, name: str) -> bool:
        """Make an empty file; False when it cannot be made, by this name or at all."""
        try:
            os.close(os.open(self._at(name), _CREATE, _PRIVATE_FILE, dir_fd=self._descriptor))
        except (OSError, UnicodeEncodeError):
            return False
        return True

    def sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def remove(self, name: str) -> bool:
        """Whether there was such a file. A link is removed itself."""
        try:
            os.unlink(self._at(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return False
        return True

    def remove_unless_replaced(self, name: str, status: os.stat_result) -> None:
        """Remove the very file that has this status; one that another process puts in its place meanwhile stays.

        Taken aside first and looked at there: between a look and a removal in place, a put could be lost.
        """
        current = self.status(name)
        if current is None or not _is_same(current, status):
            return
        aside = temporary_name()
        try:
            self._replace(name, aside)
        except FileNotFoundError:
            return
        taken = self.status(aside)
        if taken is not None and not _is_same(taken, status):
            self._put_back(aside, name)
        self.remove(aside)

    def _put_back(self, aside: str, name: str) -> None:
        try:
            os.link(self._at(aside), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except FileExistsError:
            pass  # a put came later still
        except OSError:  # a file system without hard links
            self._replace(aside, name)

    def files(self) -> Iterator[str]:
        """The names of the regular files. A directory is scanned once after it was opened."""
        return (entry.name for entry in self._scan() if entry.is_file(follow_symlinks=False))

    def directories(self) -> Iterator[str]:
        """The names of the directories, as `files` gives those of files."""
        return (entry.name for entry in self._scan() if entry.is_dir(follow_symlinks=False))

    def _scan(self) -> "Iterator[os.DirEntry[str]]":
        with os.scandir(self.path if self._descriptor is None else self._descriptor) as scan:
            yield from scan

    def _replace(self, old: str, new: str) -> None:
        os.replace(self._at(old), self._at(new), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)

    def _check_file(self, name: str) -> None:
        status = self.status(name)
        if status is None or stat.S_ISREG(status.st_mode):
            return
        if stat.S_ISLNK(status.st_mode):
            message = f"{self.path_of(name)} is a link, which the store did not make; nothing was read"
            raise PathSecurityError(message)
        message = f"{self.path_of(name)} is not a regular file; remove it to store an entry there"
        raise KeyValueStoreError(message)


def temporary_name() -> str:
    return f".{token_hex(16)}.tmp"


def is_temporary(name: str) -> bool:
    return _TEMPORARY.fullmatch(name) is not None


def make_directories(path: Path, *, fsync: bool) -> None:
    """Make the directory and those above it that are missing, for this user alone."""
    missing = [path, *path.parents]
    while missing and missing[-1].is_dir():
        missing.pop()
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(_PRIVATE_DIRECTORY)
        if fsync and _HAS_DESCRIPTORS:
            _sync(each.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Trying again does not help until someone does something about them.
_TO_BE_SET_RIGHT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
}


def meaning_of(error: OSError, path: Path) -> BaseKeyValueError:
    """The error of ours for one of the file system, with what went wrong where."""
    meaning = StoreSetupError if error.errno in _TO_BE_SET_RIGHT else StoreConnectionError
    names = [Path(name) for name in (error.filename, error.filename2) if isinstance(name, str)]
    told = [name for name in names if not is_temporary(name.name)]
    # Relative to a descriptor, of which only the name is known.
    where = path if not told else told[-1] if told[-1].is_absolute() else path / "…" / told[-1]
    reason = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return meaning(f"cannot use {where}: {error.strerror or 'the file system failed'} ({reason})")


def _check_directory(path: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _WINDOWS_JUNCTION:
        message = f"{path} is a link, which the store did not make; nothing was read or written"
        raise PathSecurityError(message)
    if not stat.S_ISDIR(status.st_mode):
        message = f"{path} is not a directory; remove it to store entries of the collection there"
        raise KeyValueStoreError(message)


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_mtime_ns, one.st_size) == (other.st_ino, other.st_mtime_ns, other.st_size)
