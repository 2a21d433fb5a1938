"""A tree of collections: `{data}/{collection}/{key}.json`, and `{metadata}/{collection}-info.json`."""

import json
import os
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from itertools import islice, product
from pathlib import Path

from key_value.aio.core import clock
from key_value.aio.core.codec import load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.errors import (
    DeserializationError,
    InvalidKeyError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
)
from key_value.aio.stores.filetree.directory import Directory, File, is_temporary, make_directories
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX, INFO_SUFFIX, EscapedNames, GivenNames, Names
from key_value.aio.stores.filetree.portability import needs_portable_names

__all__ = ["Scan", "Tree"]

# How often a put makes the directory again that someone else removes in the middle of it.
_ATTEMPTS = 100

# No put takes as long. Of one that was interrupted the temporary file is left, which nobody reads.
_TEMPORARY_AGE = timedelta(hours=1)

# Seconds for which a scan keeps others waiting, give or take one file.
_STEP = 0.005

Scan = Generator[str | None, None, None]
"""What a scan found, file by file; None for a file that is not part of it."""


class Tree:
    """Everything that is done with the files. It blocks, and keeps nothing open between two calls, save in a scan.

    Collections and keys are those that hooks get: spelled by the strategy that was given, or else the user's own.
    """

    def __init__(
        self,
        data: Path,
        metadata: Path,
        *,
        keys: GivenNames | None,
        collections: GivenNames | None,
        used: str,
        portable: bool,
        auto_create: bool,
        fsync: bool,
    ) -> None:
        self._data = data
        self._prefix = f"{data}{os.sep}"
        self._metadata = metadata
        self._given_keys = keys
        self._given_collections = collections
        self._used = used
        self._portable_wanted = portable
        self._auto_create = auto_create
        self._fsync = fsync
        self._use(portable=None)

    def open(self) -> None:
        """Make the directories that may be made, and find out how names must be spelled."""
        for path in dict.fromkeys((self._data, self._metadata)):
            if path.is_dir():
                continue
            if path.exists() or path.is_symlink():
                message = f"{path} is not a directory, which FileTreeStore needs there"
                raise StoreSetupError(message)
            if not self._auto_create:
                message = f"the directory {path} does not exist; make it, or leave auto_create on"
                raise StoreSetupError(message)
            make_directories(path, fsync=self._fsync)
        self._use(portable=needs_portable_names(self._data, wanted=self._portable_wanted))

    def _use(self, *, portable: bool | None) -> None:
        self._portable = portable
        # Until it is known: there is nothing to find, and portable names are safe to look for anywhere.
        unless_exact = portable is not False
        self._keys: Names = self._given_keys or EscapedNames(ENTRY_SUFFIX, portable=unless_exact)
        self._collections: Names = self._given_collections or EscapedNames(
            INFO_SUFFIX, self._used, portable=unless_exact
        )

    def _require_spelling(self) -> None:
        if self._portable is None:
            self.open()
        if self._portable is None:
            message = (
                f"cannot use {self._data}: no file can be made in it, so that nothing tells how names must be spelled"
            )
            raise StoreConnectionError(message)

    # Entries

    def read(self, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        names = self._collections.places(collection)
        entries: list[ManagedEntry | None] = [None] * len(keys)
        directory = self._opened(names[0])
        if directory is not None:
            with directory:
                for number, key in enumerate(keys):
                    entries[number] = self._entry(directory, names[0], self._keys.places(key)[0], collection, key)
        for number, key in enumerate(keys):
            if entries[number] is None:
                with_older = self._older(names, collection, key)
                entries[number] = next((entry for _, _, entry in with_older), None)
        return entries

    def write(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> None:
        self._require_spelling()
        names = self._collections.places(collection)
        done = 0
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                with self._made(names[0], entries[0].collection or collection) as directory:
                    for key, entry in zip(keys[done:], entries[done:], strict=True):
                        stored = self._keys.places(key)[0]
                        changed = self._portable or stored != entry.key or names[0] != entry.collection
                        text = dump_entry(entry, names=bool(changed))
                        directory.write(stored + ENTRY_SUFFIX, text, fsync=self._fsync)
                        done += 1
                    if self._fsync:
                        directory.sync()
                break
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    raise
        self._remove_older(names, collection, keys)

    def remove(self, collection: str, keys: Sequence[str]) -> int:
        """How many live entries there were."""
        names = self._collections.places(collection)
        removed = 0
        directory = self._opened(names[0])
        if directory is not None:
            with directory:
                for key in keys:
                    removed += self._remove(directory, names[0], self._keys.places(key)[0], collection, key)
                if self._fsync:
                    directory.sync()
        return removed + self._remove_older(names, collection, keys)

    def _entry(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> ManagedEntry | None:
        file = directory.read(stored + ENTRY_SUFFIX)
        if file is None:
            return None
        entry = _parsed(directory, stored + ENTRY_SUFFIX, file)
        is_meant = self._keys.is_of(stored, entry.key, key) and self._collections.is_of(
            name, entry.collection, collection
        )
        return entry if is_meant else None

    def _remove(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> bool:
        try:
            entry = self._entry(directory, name, stored, collection, key)
        except DeserializationError:
            return directory.remove(stored + ENTRY_SUFFIX)
        return entry is not None and directory.remove(stored + ENTRY_SUFFIX) and not entry.is_expired

    def _older(self, names: Sequence[str], collection: str, key: str) -> Iterator[tuple[Directory, str, ManagedEntry]]:
        """The entry where another naming put it; only of names that are not stored as they are."""
        for name, stored in islice(product(names, self._keys.places(key)), 1, None):
            directory = self._opened(name)
            if directory is None:
                continue
            with directory, suppress(DeserializationError):
                entry = self._entry(directory, name, stored, collection, key)
                if entry is not None:
                    yield directory, stored + ENTRY_SUFFIX, entry

    def _remove_older(self, names: Sequence[str], collection: str, keys: Sequence[str]) -> int:
        removed = 0
        for key in keys:
            for directory, file, entry in self._older(names, collection, key):
                removed += directory.remove(file) and not entry.is_expired
                if self._fsync:
                    directory.sync()
        return removed

    # Scans: one thing for each file, so that they can be cut into steps

    def advance(self, scan: Scan) -> tuple[list[str], bool]:
        """What the next step of a scan found, and whether it was the last."""
        found: list[str] = []
        end = time.monotonic() + _STEP
        for name in scan:
            if name is not None:
                found.append(name)
            if time.monotonic() > end:
                return found, False
        return found, True

    def end(self, scan: Scan) -> None:
        """Close what a scan that is not advanced any further has open."""
        scan.close()

    def keys(self, collection: str) -> Scan:
        for name in self._collections.places(collection):
            for directory, file in self._files(name):
                yield self._live_key(directory, name, file, collection)

    def _live_key(self, directory: Directory, name: str, file: str, collection: str) -> str | None:
        if not file.endswith(ENTRY_SUFFIX):
            return None
        stored = file.removesuffix(ENTRY_SUFFIX)
        try:
            entry = _read(directory, file)
        except DeserializationError:
            return self._keys.guessed(stored)
        if entry is None or entry.is_expired or not self._collections.is_of(name, entry.collection, collection):
            return None
        key = _original(self._keys, stored, entry.key)
        if key is None and entry.key is None:
            _refuse_unknown(directory.path_of(file))
        return key

    def collections(self) -> Scan:
        for name in self._directory_names():
            for directory, file in self._files(name):
                collection = self._live_collection(directory, name, file)
                yield collection
                if collection is not None:
                    break

    def _live_collection(self, directory: Directory, name: str, file: str) -> str | None:
        if not file.endswith(ENTRY_SUFFIX):
            return None
        try:
            entry = _read(directory, file)
        except DeserializationError:
            return None
        if entry is None or entry.is_expired:
            return None
        collection = _original(self._collections, name, entry.collection)
        if collection is None and entry.collection is None:
            collection = _original(self._collections, name, self._info(name))
            if collection is None:
                _refuse_unknown(directory.path)
        return collection

    def destroy(self) -> Scan:
        for name in self._directory_names():
            yield from self._destroy_directory(name, None)
        for path in self._roots():
            with Directory(str(path)) as root:
                for file in root.files():
                    # Information whose directory is gone, as when removing both was interrupted.
                    name = file.removesuffix(INFO_SUFFIX)
                    if name != file and self._data == self._metadata and self._info(name) is not None:
                        self._remove_directory(name)
                    elif is_temporary(file):
                        root.remove(file)
                    yield None

    def destroy_collection(self, collection: str) -> Scan:
        """Gives the live entries that it removes."""
        for name in self._collections.places(collection):
            yield from self._destroy_directory(name, collection)

    def _destroy_directory(self, name: str, collection: str | None) -> Scan:
        removed = False
        for directory, file in self._files(name):
            if is_temporary(file):
                directory.remove(file)
            entry = _written(directory, file)
            if entry is None or (
                collection is not None and not self._collections.is_of(name, entry.collection, collection)
            ):
                yield None
                continue
            removed = directory.remove(file) or removed
            yield None if entry.is_expired else file
        if removed or self._info(name) is not None:
            self._remove_directory(name)

    def _remove_directory(self, name: str) -> None:
        """Remove the directory of a collection and the information about it, unless something else lies there."""
        try:
            (self._data / name).rmdir()
        except FileNotFoundError:
            pass
        except OSError:
            return
        if self._info(name) is not None:
            with Directory(str(self._metadata.resolve())) as directory:
                directory.remove(name + INFO_SUFFIX)

    def cull(self) -> Scan:
        for name in self._directory_names():
            for directory, file in self._files(name):
                self._cull_file(directory, file)
                yield None
        for path in self._roots():
            with Directory(str(path)) as root:
                for file in root.files():
                    _remove_if_old(root, file)
                    yield None

    def _cull_file(self, directory: Directory, file: str) -> None:
        _remove_if_old(directory, file)
        if not file.endswith(ENTRY_SUFFIX):
            return
        found = directory.read(file)
        if found is None:
            return
        with suppress(DeserializationError):
            if load_entry(found.content).is_expired:
                directory.remove_unless_replaced(file, found.status)

    # Directories

    def _opened(self, name: str) -> Directory | None:
        try:
            return Directory(self._prefix + name)
        except FileNotFoundError:
            if not (self._auto_create or self._data.is_dir()):
                raise
            return None

    def _made(self, name: str, collection: str) -> Directory:
        directory = self._opened(name)
        if directory is None:
            path = self._data / name
            if not self._auto_create:
                message = f"the directory {path} does not exist; make it, or leave auto_create on"
                raise StoreSetupError(message)
            make_directories(self._data, fsync=self._fsync)
            # First, so that a collection with a directory has it however this ends.
            self._write_info(name, collection)
            make_directories(path, fsync=self._fsync)
            directory = Directory(str(path))
        return directory

    def _files(self, name: str) -> Iterator[tuple[Directory, str]]:
        directory = self._opened(name)
        if directory is not None:
            with directory:
                for file in directory.files():
                    yield directory, file

    def _roots(self) -> list[Path]:
        """The directories of data and metadata, once if they are one. They may be links, unlike what is in them."""
        return [root for root in dict.fromkeys((self._data.resolve(), self._metadata.resolve())) if root.is_dir()]

    def _directory_names(self) -> Iterator[str]:
        data, metadata = self._data.resolve(), self._metadata.resolve()
        if data.is_dir():
            with Directory(str(data)) as root:
                for name in root.directories():
                    if data / name != metadata:
                        yield name

    # Information about a collection: its name, for where its directory does not tell it

    def _info(self, name: str) -> str | None:
        try:
            with Directory(str(self._metadata.resolve())) as directory:
                file = directory.read(name + INFO_SUFFIX)
            info = {} if file is None else load_object(file.content)
        except (FileNotFoundError, DeserializationError, KeyValueStoreError):
            return None  # none, or not the store's
        collection = info.get("collection")
        return collection if isinstance(collection, str) and "directory" in info and "version" in info else None

    def _write_info(self, name: str, collection: str) -> None:
        make_directories(self._metadata, fsync=self._fsync)
        with Directory(str(self._metadata.resolve())) as directory:
            if directory.status(name + INFO_SUFFIX) is not None:
                return
            info = {
                "collection": collection,
                "created_at": clock.now().isoformat(),
                # For py-key-value-aio, which opens it. Trees move: nothing here reads it.
                "directory": str(self._data.resolve() / name),
                "version": 1,
            }
            directory.write(name + INFO_SUFFIX, json.dumps(info).encode(), fsync=self._fsync)
            if self._fsync:
                directory.sync()


def _parsed(directory: Directory, name: str, file: File) -> ManagedEntry:
    try:
        return load_entry(file.content)
    except DeserializationError as exc:
        message = f"{directory.path_of(name)}: {exc.message}"
        raise DeserializationError(message) from exc.__cause__


def _read(directory: Directory, name: str) -> ManagedEntry | None:
    file = directory.read(name)
    return None if file is None else _parsed(directory, name, file)


def _written(directory: Directory, name: str) -> ManagedEntry | None:
    """The entry in a file that a store wrote; None for anything else, which is not the store's to remove."""
    if not name.endswith(ENTRY_SUFFIX):
        return None
    try:
        entry = _read(directory, name)
    except DeserializationError:
        return None
    return None if entry is None or entry.created_at is None else entry


def _original(names: Names, stored: str, found: str | None) -> str | None:
    try:
        return names.original(stored, found)
    except (InvalidKeyError, UnicodeEncodeError):
        return None  # what was found is no name


def _remove_if_old(directory: Directory, name: str) -> None:
    if is_temporary(name):
        status = directory.status(name)
        if status is not None and status.st_mtime < (clock.now() - _TEMPORARY_AGE).timestamp():
            directory.remove(name)


def _refuse_unknown(path: str) -> None:
    message = f"nothing tells the name of {path}, which was shortened by a strategy; put it again, or remove it"
    raise KeyValueStoreError(message)
