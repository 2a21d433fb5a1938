"""Directories in which names are looked up without following links."""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, NamedTuple

from key_value.aio.core.directories import PRIVATE_FILE
from key_value.aio.errors import KeyValueStoreError, PathSecurityError
from key_value.aio.stores.filetree.exchange import exchange
from key_value.aio.stores.filetree.locks import HAS_LOCKS, Lock, can_be_locked

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["CAN_LOCK", "Directory", "File", "is_temporary", "temporary_name"]

_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
# O_NONBLOCK keeps a named pipe in place of a file from blocking `open`.
_READ: int = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_CREATE: int = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | getattr(os, "O_BINARY", 0)
_OPEN_DIRECTORY: int = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_DIRECTORY", 0)

_HAS_DESCRIPTORS = bool(
    _NO_FOLLOW
    and hasattr(os, "O_DIRECTORY")
    and {os.open, os.stat, os.unlink, os.rename, os.link} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
)

CAN_LOCK = _HAS_DESCRIPTORS and HAS_LOCKS
"""Whether this platform can lock directories. Whether the file system can is known only after an attempt."""

_WINDOWS_JUNCTION = 0xA0000003  # a link that S_ISLNK does not report

_TEMPORARY = re.compile(r"\.[0-9a-f]{32}[^/]*\.tmp")


class File(NamedTuple):
    content: bytes
    status: os.stat_result


class Directory:
    """An open directory, accessed through its descriptor, or by checked paths if the platform has no `dir_fd`.

    Raises FileNotFoundError for a missing directory, and PathSecurityError for a link in place of the directory or of a
    file.
    """

    __slots__ = ("_descriptor", "path")

    def __init__(self, path: str) -> None:
        self.path: str = path
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
            # The size stays valid, because files are replaced and never modified.
            content = os.read(descriptor, status.st_size)
            while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
                content += more
            return File(content, status)
        finally:
            os.close(descriptor)

    @property
    def can_be_locked(self) -> bool:
        return can_be_locked(self._descriptor)

    def locked(self, *, exclusive: bool = True) -> Lock:
        """Return a context manager that holds an exclusive or shared lock on the directory.

        The lock is not reentrant: a second one on the same directory waits for the first, even in the same thread.
        """
        return Lock(self._descriptor, exclusive=exclusive)

    def write(self, name: str, content: bytes, *, fsync: bool) -> None:
        """Replace the file atomically. With `fsync` its content is then on disk; call `sync` for its name."""
        temporary = self._write_temporary(content, fsync=fsync)
        try:
            self._replace(temporary, name)
        except BaseException:
            with suppress(OSError):
                self.remove(temporary)
            raise

    def write_if(self, name: str, content: bytes, current: os.stat_result | None, *, fsync: bool) -> bool:
        """Like `write`, but only if the file has this status (None: does not exist); return whether it was written.

        The caller holds the lock.
        """
        temporary = self._write_temporary(content, fsync=fsync)
        try:
            if current is None:
                return self._link_new(temporary, name)
            return self._replace_unchanged(temporary, name, current)
        finally:
            with suppress(OSError):
                self.remove(temporary)

    def _write_temporary(self, content: bytes, *, fsync: bool) -> str:
        temporary = temporary_name()
        descriptor = os.open(self._at(temporary), _CREATE, PRIVATE_FILE, dir_fd=self._descriptor)
        try:
            written = os.write(descriptor, content)
            while written < len(content):
                written += os.write(descriptor, memoryview(content)[written:])
            if fsync:
                os.fsync(descriptor)
        except BaseException:
            with suppress(OSError):
                self.remove(temporary)
            raise
        finally:
            os.close(descriptor)
        return temporary

    def _link_new(self, temporary: str, name: str) -> bool:
        """Give the temporary file this name, unless the name exists; return whether it did."""
        try:
            os.link(self._at(temporary), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except FileExistsError:
            return False
        except FileNotFoundError:
            raise
        except OSError:  # a file system without hard links
            if self.status(name) is not None:
                return False
            self._replace(temporary, name)
        return True

    def _replace_unchanged(self, temporary: str, name: str, current: os.stat_result) -> bool:
        """Replace the file with this status; return False if a writer without the lock has changed it."""
        new = self.status(temporary)
        if not _is_unchanged(self.status(name), current):
            return False
        if not exchange(self._descriptor, temporary, name):
            self._replace(temporary, name)
            return True
        displaced = self.status(temporary)
        if _is_unchanged(displaced, current):
            return True
        # Give the name back to the other writer's file, and to any further file that is written in between.
        with suppress(FileNotFoundError):  # another writer removed the file
            while exchange(self._descriptor, temporary, name):
                returned, displaced = displaced, self.status(temporary)
                if _is_unchanged(displaced, new):
                    break
                new = returned
        return False

    def create(self, name: str) -> None:
        """Create an empty file. Raises OSError or UnicodeEncodeError if no file of this name can be created."""
        os.close(os.open(self._at(name), _CREATE, PRIVATE_FILE, dir_fd=self._descriptor))

    def sync(self) -> None:
        if self._descriptor is not None:
            os.fsync(self._descriptor)

    def remove(self, name: str) -> bool:
        """Remove the file; return whether it existed. A link itself is removed, not its target."""
        try:
            os.unlink(self._at(name), dir_fd=self._descriptor)
        except FileNotFoundError:
            return False
        return True

    def remove_if(self, name: str, current: os.stat_result) -> bool:
        """Remove the file if it has this status; return whether it was removed. The caller holds the lock.

        The file is moved aside and checked there, so that a file which a writer without the lock puts in its place is
        kept.
        """
        if not _is_unchanged(self.status(name), current):
            return False
        aside = temporary_name()
        try:
            self._replace(name, aside)
        except FileNotFoundError:
            return False
        is_unchanged = _is_unchanged(self.status(aside), current)
        if not is_unchanged:
            self._put_back(aside, name)
        self.remove(aside)
        return is_unchanged

    def _put_back(self, aside: str, name: str) -> None:
        try:
            os.link(self._at(aside), self._at(name), src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
        except FileExistsError:
            pass  # an even later put has replaced it
        except OSError:  # a file system without hard links
            self._replace(aside, name)

    def files(self) -> Iterator[str]:
        """Yield the names of regular files. An opened directory can be scanned only once."""
        return (entry.name for entry in self._scan() if entry.is_file(follow_symlinks=False))

    def directories(self) -> Iterator[str]:
        """Yield the names of subdirectories, under the same condition as `files`."""
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
            message = f"{self.path_of(name)} is a link, which the store did not create; nothing was read"
            raise PathSecurityError(message)
        message = f"{self.path_of(name)} is not a regular file; remove it to store an entry there"
        raise KeyValueStoreError(message)


def temporary_name() -> str:
    return f".{token_hex(16)}.tmp"


def is_temporary(name: str) -> bool:
    return _TEMPORARY.fullmatch(name) is not None


def _check_directory(path: str, status: os.stat_result) -> None:
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _WINDOWS_JUNCTION:
        message = f"{path} is a link, which the store did not create; nothing was read or written"
        raise PathSecurityError(message)
    if not stat.S_ISDIR(status.st_mode):
        message = f"{path} is not a directory; remove it to store entries of the collection there"
        raise KeyValueStoreError(message)


def _is_unchanged(one: os.stat_result | None, other: os.stat_result | None) -> bool:
    if one is None or other is None:
        return False
    return (one.st_ino, one.st_mtime_ns, one.st_size) == (other.st_ino, other.st_mtime_ns, other.st_size)
