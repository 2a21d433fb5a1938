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
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX, INFO_SUFFIX, EscapedNames, GivenNames, Names
from key_value.aio.stores.filetree.portability import needs_portable_names

__all__ = ["ATTEMPTS", "Entries", "Found", "parsed"]

# How often a put makes the directory again that someone else removes in the middle of it.
ATTEMPTS = 100

# How many entries of a batch are written while a conditional write waits.
_MOST_AT_ONCE = 32


class Found(NamedTuple):
    """An entry and its location."""

    directory: Directory
    name: str
    file: File
    entry: ManagedEntry

    @property
    def version(self) -> str:
        """Each write makes another file, if only with another time of change."""
        return digest(self.file.content, self.file.status.st_ino, self.file.status.st_mtime_ns)

    def remove(self) -> bool:
        """Whether it still was there. Needs the lock."""
        return self.directory.remove_if(self.name, self.file.status)


class Entries:
    """Reads, writes and removes entries. It blocks, and keeps nothing open between calls.

    Collections and keys are those that hooks get: spelled by the strategy that was given, or else the user's own.
    """

    def __init__(
        self,
        catalog: Catalog,
        *,
        keys: GivenNames | None,
        collections: GivenNames | None,
        used: str,
        portable: bool,
        fsync: bool,
    ) -> None:
        self.can_be_locked: bool = True
        self._catalog = catalog
        self._given_keys = keys
        self._given_collections = collections
        self._used = used
        self._portable_wanted = portable
        self._fsync = fsync
        self._use(portable=None)

    def open(self) -> None:
        """Create the directories if allowed, and find out how names must be spelled and if there are locks."""
        self._catalog.make_roots()
        with Directory(str(self._catalog.data.resolve())) as root:
            self.can_be_locked = root.can_be_locked
        self._use(portable=needs_portable_names(self._catalog.data, wanted=self._portable_wanted))

    def probe(self) -> None:
        """Open it again, and create and remove a file."""
        self.open()
        for root in self._catalog.roots():
            with Directory(str(root)) as directory:
                name = temporary_name()
                directory.create(name)
                directory.remove(name)

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
            data = self._catalog.data
            message = f"cannot use {data}: no file can be created in it to find out how names must be spelled"
            raise StoreConnectionError(message)

    # Reading

    def read(self, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        names = self._collections.places(collection)
        entries: list[ManagedEntry | None] = [None] * len(keys)
        directory = self._catalog.opened(names[0])
        if directory is not None:
            with directory:
                for number, key in enumerate(keys):
                    found = self._found(directory, names[0], self._keys.places(key)[0], collection, key)
                    entries[number] = None if found is None else found.entry
        for number, key in enumerate(keys):
            if entries[number] is None:
                with_older = self._older(names, collection, key)
                entries[number] = next((found.entry for found in with_older), None)
        return entries

    def _found(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> Found | None:
        file = directory.read(stored + ENTRY_SUFFIX)
        return None if file is None else self._meant(directory, name, stored, file, collection=collection, key=key)

    def _meant(
        self, directory: Directory, name: str, stored: str, file: File, *, collection: str, key: str
    ) -> Found | None:
        """The entry in the file, if it is the one that the names mean."""
        entry = parsed(directory, stored + ENTRY_SUFFIX, file)
        is_meant = self._keys.is_of(stored, entry.key, key) and self._collections.is_of(
            name, entry.collection, collection
        )
        return Found(directory, stored + ENTRY_SUFFIX, file, entry) if is_meant else None

    # Writing

    def write(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> None:
        self._require_spelling()
        names = self._collections.places(collection)
        items = list(zip(keys, entries, strict=True))
        done = 0
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._catalog.made(names[0], entries[0].collection or collection) as directory:
                    while done < len(items):
                        # Beside other puts, and never between the look and the replacement of a conditional write.
                        with directory.locked(exclusive=False):
                            for key, entry in items[done : done + _MOST_AT_ONCE]:
                                stored = self._keys.places(key)[0]
                                text = self._text(entry, names[0], stored)
                                directory.write(stored + ENTRY_SUFFIX, text, fsync=self._fsync)
                                done += 1
                    if self._fsync:
                        directory.sync()
                break
            except FileNotFoundError:
                if attempt == ATTEMPTS:
                    raise
        self._remove_older(names, collection, keys)

    def _text(self, entry: ManagedEntry, name: str, stored: str) -> bytes:
        changed = self._portable or stored != entry.key or name != entry.collection
        return dump_entry(entry, names=bool(changed))

    def remove(self, collection: str, keys: Sequence[str]) -> int:
        """How many live entries there were."""
        names = self._collections.places(collection)
        removed = 0
        directory = self._catalog.opened(names[0])
        if directory is not None:
            with directory:
                for key in keys:
                    with directory.locked():
                        removed += self._remove(directory, names[0], self._keys.places(key)[0], collection, key)
                if self._fsync:
                    directory.sync()
        return removed + self._remove_older(names, collection, keys)

    def _remove(self, directory: Directory, name: str, stored: str, collection: str, key: str) -> bool:
        try:
            found = self._found(directory, name, stored, collection, key)
        except DeserializationError:
            return directory.remove(stored + ENTRY_SUFFIX)
        if found is None:
            return False
        if found.entry.is_expired:
            found.remove()
            return False
        return directory.remove(stored + ENTRY_SUFFIX)

    def _older(self, names: Sequence[str], collection: str, key: str) -> Iterator[Found]:
        """The entry where another naming put it; only of names that are not stored as they are."""
        for name, stored in islice(product(names, self._keys.places(key)), 1, None):
            directory = self._catalog.opened(name)
            if directory is None:
                continue
            with directory, suppress(DeserializationError):
                found = self._found(directory, name, stored, collection, key)
                if found is not None:
                    yield found

    def _remove_older(self, names: Sequence[str], collection: str, keys: Sequence[str]) -> int:
        removed = 0
        for key in keys:
            for found in self._older(names, collection, key):
                with found.directory.locked():
                    removed += found.remove() and not found.entry.is_expired
                if self._fsync:
                    found.directory.sync()
        return removed


def parsed(directory: Directory, name: str, file: File) -> ManagedEntry:
    try:
        return load_entry(file.content)
    except DeserializationError as exc:
        message = f"{directory.path_of(name)}: {exc.message}"
        raise DeserializationError(message) from exc.__cause__
