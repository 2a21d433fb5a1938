"""Operations on a whole tree, file by file: listing, destroying, culling."""

import re
import time
from collections.abc import Generator
from contextlib import suppress
from datetime import timedelta

from key_value.aio.core import clock
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import DeserializationError, InvalidKeyError, KeyValueStoreError
from key_value.aio.stores.filetree.directory import Directory, is_temporary
from key_value.aio.stores.filetree.entries import parse_entry
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX, Names
from key_value.aio.stores.filetree.pages import Listings, Position, first_names
from key_value.aio.stores.filetree.versions import VersionedEntries

__all__ = ["Page", "Scan", "Tree"]

# Longer than any put takes. An interrupted put leaves a temporary file, which nobody reads.
_MIN_TEMPORARY_AGE = timedelta(hours=1)

# Python decodes bytes of file names that are not UTF-8 as surrogates. No key contains them.
_SURROGATES = re.compile("[\ud800-\udfff]")

# The time for which a step of a scan blocks other operations, plus or minus one file.
_STEP_SECONDS = 0.005

Scan = Generator[str | None, None, None]
"""The results of a scan, one per file; None for a file without a result."""


class Page:
    """The parameters of a page, and the cursor of the next page (None after the last)."""

    def __init__(self, collection: str, prefix: str, cursor: str | None, limit: int, listings: Listings) -> None:
        """Raises ValueError for a cursor that does not come from a page."""
        self.listings = listings
        self.collection = collection
        self.prefix = prefix
        self.limit = limit
        self.position: Position = Position.parse(cursor)
        self.cursor: str | None = None


class Tree(VersionedEntries):
    """A tree of entries. Its scans yield once per file, so that they can be split into steps."""

    def advance(self, scan: Scan) -> tuple[list[str], bool]:
        """Run the next step of a scan; return its results, and whether it was the last step."""
        found: list[str] = []
        deadline = time.monotonic() + _STEP_SECONDS
        for name in scan:
            if name is not None:
                found.append(name)
            if time.monotonic() > deadline:
                return found, False
        return found, True

    def end(self, scan: Scan) -> None:
        """Close the open directories of a scan that is abandoned."""
        scan.close()

    def key_page(self, page: Page) -> Scan:
        """Yield the keys in the next files of a collection, in file name order, and set the cursor of the next page."""
        stored_names = self._collections.stored_names(page.collection)
        if page.position.directory_index >= len(stored_names):
            message = "cursor does not come from a scan of this collection"
            raise ValueError(message)
        remaining = page.limit
        while page.position.directory_index < len(stored_names) and remaining > 0:
            name = stored_names[page.position.directory_index]
            directory = self._catalog.open(name)
            if directory is None:
                page.position = page.position.in_next_directory()
                continue
            with directory:
                files = yield from self._next_files(directory, page, remaining)
                for file in files:
                    key = self._live_key(directory, name, file, page.collection)
                    yield key if key is not None and key.startswith(page.prefix) else None
            remaining -= len(files)
        page.cursor = str(page.position) if page.position.directory_index < len(stored_names) else None

    def _next_files(self, directory: Directory, page: Page, limit: int) -> Generator[None, None, list[str]]:
        token, directory_index, last = page.position
        listing = page.listings.get(token)
        if listing is None or listing.is_exhausted(last):
            page.listings.discard(token)
            names = (file for file in directory.files() if self._may_contain_prefix(file, page.prefix))
            listing = yield from first_names(names, last)
            token = page.listings.add(listing)
        files = listing.after(last, limit)
        if listing.is_last(files):
            page.listings.discard(token)
            page.position = page.position.in_next_directory()
        else:
            page.position = Position(token, directory_index, files[-1])
        return files

    def _may_contain_prefix(self, file: str, prefix: str) -> bool:
        """Whether the file can contain an entry with this key prefix."""
        if not file.endswith(ENTRY_SUFFIX) or _SURROGATES.search(file):
            return False
        return not prefix or self._keys.may_have_prefix(file.removesuffix(ENTRY_SUFFIX), prefix)

    def _live_key(self, directory: Directory, name: str, file: str, collection: str) -> str | None:
        if not file.endswith(ENTRY_SUFFIX):
            return None
        stored = file.removesuffix(ENTRY_SUFFIX)
        try:
            entry = _read(directory, file)
        except DeserializationError:
            return self._keys.from_stored(stored)
        if entry is None:
            return self._moved_key(name, stored, collection)
        if entry.is_expired or not self._collections.matches(name, entry.collection, collection):
            return None
        key = _original(self._keys, stored, entry.key)
        if key is None and entry.key is None:
            _raise_unknown_name(directory.path_of(file))
        return key

    def _moved_key(self, name: str, stored: str, collection: str) -> str | None:
        """Return the key of a file that a put has moved to its current file name since it was listed."""
        for key in dict.fromkeys((stored, self._keys.from_stored(stored))):
            if key is None:
                continue
            if (name, stored) == (self._collections.stored_names(collection)[0], self._keys.stored_names(key)[0]):
                continue
            with suppress(DeserializationError):
                entry = self.read(collection, [key])[0]
                if entry is not None and not entry.is_expired:
                    return key
        return None

    def collections(self) -> Scan:
        for name in self._catalog.names():
            for directory, file in self._catalog.files(name):
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
            collection = _original(self._collections, name, self._catalog.collection_in_info(name))
            if collection is None:
                _raise_unknown_name(directory.path)
        return collection

    def destroy(self) -> Scan:
        for name in self._catalog.names():
            yield from self._destroy_directory(name, None)
        for name in self._catalog.orphans():
            self._catalog.remove(name)
            yield None
        for path in self._catalog.roots():
            with Directory(str(path)) as root:
                for file in root.files():
                    _remove_temporary(root, file)
                    yield None

    def destroy_collection(self, collection: str) -> Scan:
        """Remove the entries of the collection; yield the file names of live ones."""
        for name in self._collections.stored_names(collection):
            yield from self._destroy_directory(name, collection)

    def _destroy_directory(self, name: str, collection: str | None) -> Scan:
        removed = False
        for directory, file in self._catalog.files(name):
            _remove_temporary(directory, file)
            entry = _read_own(directory, file)
            if entry is None or (
                collection is not None and not self._collections.matches(name, entry.collection, collection)
            ):
                yield None
                continue
            removed = directory.remove(file) or removed
            yield None if entry.is_expired else file
        if removed or self._catalog.collection_in_info(name) is not None:
            self._catalog.remove(name)

    def cull(self) -> Scan:
        for name in self._catalog.names():
            is_empty = True
            for directory, file in self._catalog.files(name):
                is_empty = _cull_file(directory, file) and is_empty
                yield None
            # A directory without info file, or any with auto_create=False, may belong to the user.
            if is_empty and self._catalog.auto_create and self._catalog.collection_in_info(name) is not None:
                self._catalog.remove(name)
        for name in self._catalog.orphans():
            self._catalog.remove(name)
            yield None
        for path in self._catalog.roots():
            with Directory(str(path)) as root:
                for file in root.files():
                    _remove_temporary(root, file, age=_MIN_TEMPORARY_AGE)
                    yield None


def _cull_file(directory: Directory, file: str) -> bool:
    """Remove the file if it is expired or an old temporary file; return whether it is gone."""
    if is_temporary(file):
        return _remove_temporary(directory, file, age=_MIN_TEMPORARY_AGE)
    if not file.endswith(ENTRY_SUFFIX):
        return False
    found = directory.read(file)
    if found is None:
        return True
    with suppress(DeserializationError):
        if load_entry(found.content).is_expired:
            with directory.locked():
                return directory.remove_if(file, found.status)
    return False


def _read(directory: Directory, name: str) -> ManagedEntry | None:
    file = directory.read(name)
    return None if file is None else parse_entry(directory, name, file)


def _read_own(directory: Directory, name: str) -> ManagedEntry | None:
    """Return the entry in a file that a store wrote; None for any other file, which must not be removed."""
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
        return None  # the name in the envelope is invalid


def _remove_temporary(directory: Directory, name: str, *, age: timedelta = timedelta(0)) -> bool:
    """Remove the file if it is a temporary file of at least this age; return whether it was removed."""
    if not is_temporary(name):
        return False
    # Locked, because a conditional write moves the file that it replaces to a temporary name.
    with directory.locked():
        status = directory.status(name)
        if status is None or (age and status.st_mtime > (clock.now() - age).timestamp()):
            return False
        return directory.remove(name)


def _raise_unknown_name(path: str) -> None:
    message = f"the name of {path} is unknown, because a strategy shortened it; put the entry again, or remove it"
    raise KeyValueStoreError(message)
