"""Conditional writes, which hold an exclusive lock on the collection."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice, product
from typing import NamedTuple

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import DeserializationError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.stores.filetree.entries import MAX_ATTEMPTS, Entries, FoundEntry
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX

__all__ = ["VersionedEntries"]


class Target(NamedTuple):
    """The collection and key of a conditional write, and their stored names, those to write to first."""

    collection: str
    key: str
    names: tuple[str, ...]
    stored: tuple[str, ...]


class Snapshot(NamedTuple):
    """The entry, in whatever place, and the status of the file to write to."""

    found: FoundEntry | None
    current: os.stat_result | None

    @property
    def version(self) -> str | None:
        return None if self.found is None or self.found.entry.is_expired else self.found.version


class VersionedEntries(Entries):
    """Replaces and removes entries only if they have not changed since they were read.

    A writer without the lock, such as py-key-value-aio, can change a file between the check and the write, so each
    write applies to the file that was checked.
    """

    def read_versioned(self, collection: str, key: str) -> FoundEntry | None:
        target = self._target(collection, key)
        with self._open_directories(target) as directories:
            return self._snapshot(directories, target).found

    def write_if(self, collection: str, key: str, entry: ManagedEntry, version: str | None) -> bool:
        self._require_naming()
        target = self._target(collection, key)
        for attempt in range(1, MAX_ATTEMPTS + 1):
            is_written = None
            try:
                is_written = self._try_write(target, entry, version)
            except FileNotFoundError:
                if attempt == MAX_ATTEMPTS:
                    raise
            if is_written is not None:
                return is_written
        message = f"cannot write to {self._catalog.data}: another writer interfered in all {MAX_ATTEMPTS} attempts"
        raise StoreConnectionError(message)

    def _try_write(self, target: Target, entry: ManagedEntry, version: str | None) -> bool | None:
        """Return whether the entry was written; None after a conflict with another writer."""
        name, stored = target.names[0], target.stored[0]
        # With a version, the directory can be missing only if the entry is in one of an older naming scheme.
        if version is None or len(target.names) > 1:
            with self._catalog.open_or_create(name, entry.collection or target.collection):
                pass
        with self._lock_directories(target) as directories:
            snapshot = self._snapshot(directories, target)
            if snapshot.version != version:
                return False
            directory = directories.get(name)
            text = self._encode(entry, name, stored)
            if directory is None or not directory.write_if(
                stored + ENTRY_SUFFIX, text, snapshot.current, fsync=self._fsync
            ):
                return None
            if self._fsync:
                directory.sync()
            self._remove_legacy_in(directories, target)
            return True

    def remove_if(self, collection: str, key: str, version: str) -> bool:
        target = self._target(collection, key)
        with self._lock_directories(target) as directories:
            snapshot = self._snapshot(directories, target)
            if snapshot.found is None or snapshot.version != version or not snapshot.found.remove():
                return False
            if self._fsync:
                snapshot.found.directory.sync()
            self._remove_legacy_in(directories, target)
            return True

    def _target(self, collection: str, key: str) -> Target:
        return Target(collection, key, self._collections.stored_names(collection), self._keys.stored_names(key))

    def _snapshot(self, directories: dict[str, Directory], target: Target) -> Snapshot:
        name, stored = target.names[0], target.stored[0]
        directory = directories.get(name)
        file = None if directory is None else directory.read(stored + ENTRY_SUFFIX)
        found = None
        if directory is not None and file is not None:
            found = self._match(directory, name, stored, file, collection=target.collection, key=target.key)
        if found is None:
            found = next(self._find_legacy_in(directories, target), None)
        return Snapshot(found, None if file is None else file.status)

    def _find_legacy_in(self, directories: dict[str, Directory], target: Target) -> Iterator[FoundEntry]:
        """Yield the entry from places of other naming schemes, like `_find_legacy`, but in open directories."""
        for name, stored in islice(product(target.names, target.stored), 1, None):
            if name in directories:
                with suppress(DeserializationError):
                    found = self._find(directories[name], name, stored, target.collection, target.key)
                    if found is not None:
                        yield found

    def _remove_legacy_in(self, directories: dict[str, Directory], target: Target) -> None:
        for found in self._find_legacy_in(directories, target):
            found.remove()
            if self._fsync:
                found.directory.sync()

    @contextmanager
    def _open_directories(self, target: Target) -> Generator[dict[str, Directory]]:
        """Open the existing directories of the collection, by stored name."""
        with ExitStack() as stack:
            opened = [(name, self._catalog.open(name)) for name in target.names]
            yield {name: stack.enter_context(directory) for name, directory in opened if directory is not None}

    @contextmanager
    def _lock_directories(self, target: Target) -> Generator[dict[str, Directory]]:
        with self._open_directories(target) as directories, ExitStack() as stack:
            # All writers lock in the same order, to prevent deadlocks.
            for directory in directories.values():
                if not stack.enter_context(directory.locked()):
                    message = (
                        f"cannot write conditionally in {directory.path}: this file system or platform has no locks on "
                        "directories"
                    )
                    raise StoreSetupError(message)
            yield directories
