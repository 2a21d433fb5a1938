"""Conditional writes, which hold the collection's lock exclusively."""

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice, product
from typing import NamedTuple

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import DeserializationError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.stores.filetree.entries import ATTEMPTS, Entries, Found
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX

__all__ = ["VersionedEntries"]


class Target(NamedTuple):
    """The target of a conditional write, and the places of its collection and key, with the one to write to first."""

    collection: str
    key: str
    names: tuple[str, ...]
    stored: tuple[str, ...]


class Look(NamedTuple):
    """The entry, wherever it is, and the status of the file at the place to write to."""

    found: Found | None
    occupant: os.stat_result | None

    @property
    def version(self) -> str | None:
        return None if self.found is None or self.found.entry.is_expired else self.found.version


class VersionedEntries(Entries):
    """Replaces and removes entries only if they have not changed since they were read.

    A writer without the lock, such as py-key-value-aio, can come between the check and the write, so each write acts on
    one particular file.
    """

    def read_versioned(self, collection: str, key: str) -> Found | None:
        target = self._target(collection, key)
        with self._opened(target) as directories:
            return self._look(directories, target).found

    def write_if(self, collection: str, key: str, entry: ManagedEntry, version: str | None) -> bool:
        self._require_spelling()
        target = self._target(collection, key)
        for attempt in range(1, ATTEMPTS + 1):
            is_written = None
            try:
                is_written = self._try_to_write(target, entry, version)
            except FileNotFoundError:
                if attempt == ATTEMPTS:
                    raise
            if is_written is not None:
                return is_written
        message = f"cannot write to {self._catalog.data}: each of {ATTEMPTS} tries met another writer"
        raise StoreConnectionError(message)

    def _try_to_write(self, target: Target, entry: ManagedEntry, version: str | None) -> bool | None:
        """Whether it was written; None when another writer came between."""
        name, stored = target.names[0], target.stored[0]
        # For a version, a directory is made only where the entry may lie in another.
        if version is None or len(target.names) > 1:
            with self._catalog.made(name, entry.collection or target.collection):
                pass
        with self._locked(target) as directories:
            look = self._look(directories, target)
            if look.version != version:
                return False
            directory = directories.get(name)
            text = self._text(entry, name, stored)
            if directory is None or not directory.write_if(
                stored + ENTRY_SUFFIX, text, look.occupant, fsync=self._fsync
            ):
                return None
            if self._fsync:
                directory.sync()
            self._remove_others(directories, target)
            return True

    def remove_if(self, collection: str, key: str, version: str) -> bool:
        target = self._target(collection, key)
        with self._locked(target) as directories:
            look = self._look(directories, target)
            if look.found is None or look.version != version or not look.found.remove():
                return False
            if self._fsync:
                look.found.directory.sync()
            self._remove_others(directories, target)
            return True

    def _target(self, collection: str, key: str) -> Target:
        return Target(collection, key, self._collections.places(collection), self._keys.places(key))

    def _look(self, directories: dict[str, Directory], target: Target) -> Look:
        name, stored = target.names[0], target.stored[0]
        directory = directories.get(name)
        file = None if directory is None else directory.read(stored + ENTRY_SUFFIX)
        found = None
        if directory is not None and file is not None:
            found = self._meant(directory, name, stored, file, collection=target.collection, key=target.key)
        if found is None:
            found = next(self._others(directories, target), None)
        return Look(found, None if file is None else file.status)

    def _others(self, directories: dict[str, Directory], target: Target) -> Iterator[Found]:
        """The entry where another naming put it, as `_older` gives it, in directories that are open."""
        for name, stored in islice(product(target.names, target.stored), 1, None):
            if name in directories:
                with suppress(DeserializationError):
                    found = self._found(directories[name], name, stored, target.collection, target.key)
                    if found is not None:
                        yield found

    def _remove_others(self, directories: dict[str, Directory], target: Target) -> None:
        for found in self._others(directories, target):
            found.remove()
            if self._fsync:
                found.directory.sync()

    @contextmanager
    def _opened(self, target: Target) -> Generator[dict[str, Directory]]:
        """Those of the collection's directories that there are."""
        with ExitStack() as stack:
            opened = [(name, self._catalog.opened(name)) for name in target.names]
            yield {name: stack.enter_context(directory) for name, directory in opened if directory is not None}

    @contextmanager
    def _locked(self, target: Target) -> Generator[dict[str, Directory]]:
        with self._opened(target) as directories, ExitStack() as stack:
            # In the same order for all, so that no two writers wait for each other.
            for directory in directories.values():
                if not stack.enter_context(directory.locked()):
                    message = (
                        f"cannot write conditionally in {directory.path}: this file system or platform has no locks on "
                        "directories"
                    )
                    raise StoreSetupError(message)
            yield directories
