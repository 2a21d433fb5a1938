"""Entries in a tree of collections: `{data}/{collection}/{key}.json`."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, product
from typing import NamedTuple

from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.marks import digest
from key_value.aio.errors import DeserializationError, StoreConnectionError
from key_value.aio.stores.filetree.catalog import Catalog
from key_value.aio.stores.filetree.directory import Directory, File, temporary_name
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX, INFO_SUFFIX, CustomNames, EscapedNames, Names
from key_value.aio.stores.filetree.portability import needs_portable_names

__all__ = ["MAX_ATTEMPTS", "Entries", "FoundEntry", "parse_entry"]

# Attempts of a put whose directory another process keeps removing.
MAX_ATTEMPTS = 100

# Entries of a batch that are written under one lock, while conditional writes wait.
_ENTRIES_PER_LOCK = 32


class FoundEntry(NamedTuple):
    """An entry and the file it was read from."""

    directory: Directory
    name: str
    file: File
    entry: ManagedEntry

    @property
    def version(self) -> str:
        """A digest of content, inode number and modification time, at least one of which changes with every write."""
        return digest(self.file.content, self.file.status.st_ino, self.file.status.st_mtime_ns)

    def remove(self) -> bool:
        """Remove the file unless it has changed; return whether it was removed. The caller holds the lock."""
        return self.directory.remove_if(self.name, self.file.status)


class Entries:
    """Reads, writes and removes entries. All calls block, and nothing stays open between calls.

    Collections and keys are as passed to the store's hooks: sanitized by the user's strategy if there is one.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        keys: CustomNames | None,
        collections: CustomNames | None,
        reserved: str,
        portable: bool,
        fsync: bool,
    ) -> None:
        self.can_be_locked: bool = True
        self._catalog = catalog
        self._custom_keys = keys
        self._custom_collections = collections
        self._reserved = reserved
        self._wants_portable = portable
        self._fsync = fsync
        self._set_names(portable=None)

    def open(self) -> None:
        """Create the directories if allowed, and find out whether names must be portable and whether locks work."""
        self._catalog.create_roots()
        with Directory(str(self._catalog.data.resolve())) as root:
            self.can_be_locked = root.can_be_locked
        self._set_names(portable=needs_portable_names(self._catalog.data, wanted=self._wants_portable))

    def probe(self) -> None:
        """Reopen the tree, and create and remove a file in each root."""
        self.open()
        for root in self._catalog.roots():
            with Directory(str(root)) as directory:
                name = temporary_name()
                directory.create(name)
                directory.remove(name)

    def _set_names(self, *, portable: bool | None) -> None:
        self._portable = portable
        # If unknown, use portable names: they are safe to look up anywhere, and there is nothing to find yet.
        use_portable = portable is not False
        self._keys: Names = self._custom_keys or EscapedNames(ENTRY_SUFFIX, portable=use_portable)
        self._collections: Names = self._custom_collections or EscapedNames(
            INFO_SUFFIX, self._reserved, portable=use_portable
        )

    def _require_naming(self) -> None:
        if self._portable is None:
            self.open()
        if self._portable is None:
            data = self._catalog.data
            message = f"cannot use {data}: no file can be created there to test which names the file system supports"
            raise StoreConnectionError(message)

    # Reading

    def read(self, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        names = self._collections.stored_names(collection)
        entries: list[ManagedEntry | None] = [None] * len(keys)
        directory = self._catalog.open(names[0])
        if directory is not None:
            with directory:
                for number, key in enumerate(keys):
                    found = self._find(directory, names[0], self._keys.stored_names(key)[0], collection, key)
                    entries[number] = None if found is None else found.entry
        for number, key in enumerate(keys):
            if entries[number] is None:
                legacy = self._find_legacy(names, collection, key)
                entries[number] = next((found.entry for found in legacy), None)
        return entries

    def _find(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> FoundEntry | None:
        file = directory.read(stored + ENTRY_SUFFIX)
        return None if file is None else self._match(directory, name, stored, file, collection=collection, key=key)

    def _match(
        self, directory: Directory, name: str, stored: str, file: File, *, collection: str, key: str
    ) -> FoundEntry | None:
        """Return the entry in the file if it belongs to this collection and key."""
        entry = parse_entry(directory, stored + ENTRY_SUFFIX, file)
        is_match = self._keys.matches(stored, entry.key, key) and self._collections.matches(
            name, entry.collection, collection
        )
        return FoundEntry(directory, stored + ENTRY_SUFFIX, file, entry) if is_match else None

    # Writing

    def write(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> None:
        self._require_naming()
        names = self._collections.stored_names(collection)
        items = list(zip(keys, entries, strict=True))
        done = 0
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                with self._catalog.open_or_create(names[0], entries[0].collection or collection) as directory:
                    while done < len(items):
                        # Shared with other puts, but never between the check and the write of a conditional write.
                        with directory.locked(exclusive=False):
                            for key, entry in items[done : done + _ENTRIES_PER_LOCK]:
                                stored = self._keys.stored_names(key)[0]
                                text = self._encode(entry, names[0], stored)
                                directory.write(stored + ENTRY_SUFFIX, text, fsync=self._fsync)
                                done += 1
                    if self._fsync:
                        directory.sync()
                break
            except FileNotFoundError:
                if attempt == MAX_ATTEMPTS:
                    raise
        self._remove_legacy(names, collection, keys)

    def _encode(self, entry: ManagedEntry, name: str, stored: str) -> bytes:
        changed = self._portable or stored != entry.key or name != entry.collection
        return dump_entry(entry, names=bool(changed))

    def remove(self, collection: str, keys: Sequence[str]) -> int:
        """Remove the entries; return how many were live."""
        names = self._collections.stored_names(collection)
        removed = 0
        directory = self._catalog.open(names[0])
        if directory is not None:
            with directory:
                for key in keys:
                    with directory.locked():
                        removed += self._remove(directory, names[0], self._keys.stored_names(key)[0], collection, key)
                if self._fsync:
                    directory.sync()
        return removed + self._remove_legacy(names, collection, keys)

    def _remove(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> bool:
        try:
            found = self._find(directory, name, stored, collection, key)
        except DeserializationError:
            return directory.remove(stored + ENTRY_SUFFIX)
        if found is None:
            return False
        if found.entry.is_expired:
            found.remove()
            return False
        return directory.remove(stored + ENTRY_SUFFIX)

    def _find_legacy(self, names: Sequence[str], collection: str, key: str) -> Iterator[FoundEntry]:
        """Yield the entry from places of other naming schemes. Only escaped names have such places."""
        for name, stored in islice(product(names, self._keys.stored_names(key)), 1, None):
            directory = self._catalog.open(name)
            if directory is None:
                continue
            with directory, suppress(DeserializationError):
                found = self._find(directory, name, stored, collection, key)
                if found is not None:
                    yield found

    def _remove_legacy(self, names: Sequence[str], collection: str, keys: Sequence[str]) -> int:
        removed = 0
        for key in keys:
            for found in self._find_legacy(names, collection, key):
                with found.directory.locked():
                    removed += found.remove() and not found.entry.is_expired
                if self._fsync:
                    found.directory.sync()
        return removed


def parse_entry(directory: Directory, name: str, file: File) -> ManagedEntry:
    try:
        return load_entry(file.content)
    except DeserializationError as exc:
        message = f"{directory.path_of(name)}: {exc.message}"
        raise DeserializationError(message) from exc.__cause__
