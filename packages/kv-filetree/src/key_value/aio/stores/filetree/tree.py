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
from key_value.aio.stores.filetree.entries import parsed
from key_value.aio.stores.filetree.names import ENTRY_SUFFIX, Names
from key_value.aio.stores.filetree.pages import Listings, Position, first_names
from key_value.aio.stores.filetree.versions import VersionedEntries

__all__ = ["Page", "Scan", "Tree"]

# No put takes as long. Of one that was interrupted the temporary file is left, which nobody reads.
_TEMPORARY_AGE = timedelta(hours=1)

# Stands in a name for bytes that are not text. No key contains it.
_SURROGATES = re.compile("[\ud800-\udfff]")

# Seconds for which a scan keeps others waiting, give or take one file.
_STEP = 0.005

Scan = Generator[str | None, None, None]
"""The results of a scan, file by file; None for a file that is not part of it."""


class Page:
    """The parameters of a page, and the start of the next one; None after the last."""

    def __init__(self, collection: str, prefix: str, cursor: str | None, limit: int, listings: Listings) -> None:
        """Raises ValueError for a cursor that does not come from a page."""
        self.listings = listings
        self.collection = collection
        self.prefix = prefix
        self.limit = limit
        self.position: Position = Position.parse(cursor)
        self.cursor: str | None = None


class Tree(VersionedEntries):
    """Scans yield once for each file, so that they can be split into steps."""

    def advance(self, scan: Scan) -> tuple[list[str], bool]:
        """The results of a scan's next step, and whether it was the last."""
        found: list[str] = []
        end = time.monotonic() + _STEP
        for name in scan:
            if name is not None:
                found.append(name)
            if time.monotonic() > end:
                return found, False
        return found, True

    def end(self, scan: Scan) -> None:
        """Close the open directories of a scan that is not advanced any further."""
        scan.close()

    def key_page(self, page: Page) -> Scan:
        """The keys in the next files of a collection, in the order of their names; sets the next start of the page."""
        places = self._collections.places(page.collection)
        if page.position.place >= len(places):
            message = "cursor does not come from a scan of this collection"
            raise ValueError(message)
        missing = page.limit
        while page.position.place < len(places) and missing > 0:
            name = places[page.position.place]
            directory = self._catalog.opened(name)
            if directory is None:
                page.position = page.position.in_next_place()
                continue
            with directory:
                files = yield from self._next_files(directory, page, missing)
                for file in files:
                    key = self._live_key(directory, name, file, page.collection)
                    yield key if key is not None and key.startswith(page.prefix) else None
            missing -= len(files)
        page.cursor = str(page.position) if page.position.place < len(places) else None

    def _next_files(self, directory: Directory, page: Page, limit: int) -> Generator[None, None, list[str]]:
        token, place, last = page.position
        listing = page.listings.get(token)
        if listing is None or listing.is_exhausted(last):
            page.listings.discard(token)
            names = (file for file in directory.files() if self._may_be_in(file, page.prefix))
            listing = yield from first_names(names, last)
            token = page.listings.add(listing)
        files = listing.after(last, limit)
        if listing.is_last(files):
            page.listings.discard(token)
            page.position = page.position.in_next_place()
        else:
            page.position = Position(token, place, files[-1])
        return files

    def _may_be_in(self, file: str, prefix: str) -> bool:
        """Whether the file can have an entry whose key begins with the prefix."""
        if not file.endswith(ENTRY_SUFFIX) or _SURROGATES.search(file):
            return False
        return not prefix or self._keys.may_begin(file.removesuffix(ENTRY_SUFFIX), prefix)

    def _live_key(self, directory: Directory, name: str, file: str, collection: str) -> str | None:
        if not file.endswith(ENTRY_SUFFIX):
            return None
        stored = file.removesuffix(ENTRY_SUFFIX)
        try:
            entry = _read(directory, file)
        except DeserializationError:
            return self._keys.guessed(stored)
        if entry is None:
            return self._moved_key(name, stored, collection)
        if entry.is_expired or not self._collections.is_of(name, entry.collection, collection):
            return None
        key = _original(self._keys, stored, entry.key)
        if key is None and entry.key is None:
            _refuse_unknown(directory.path_of(file))
        return key

    def _moved_key(self, name: str, stored: str, collection: str) -> str | None:
        """The key of a file that is gone since it was listed, if a put has given it its present spelling."""
        for key in dict.fromkeys((stored, self._keys.guessed(stored))):
            if key is None or (name, stored) == (self._collections.places(collection)[0], self._keys.places(key)[0]):
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
            collection = _original(self._collections, name, self._catalog.info(name))
            if collection is None:
                _refuse_unknown(directory.path)
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
        """Gives the live entries that it removes."""
        for name in self._collections.places(collection):
            yield from self._destroy_directory(name, collection)

    def _destroy_directory(self, name: str, collection: str | None) -> Scan:
        removed = False
        for directory, file in self._catalog.files(name):
            _remove_temporary(directory, file)
            entry = _written(directory, file)
            if entry is None or (
                collection is not None and not self._collections.is_of(name, entry.collection, collection)
            ):
                yield None
                continue
            removed = directory.remove(file) or removed
            yield None if entry.is_expired else file
        if removed or self._catalog.info(name) is not None:
            self._catalog.remove(name)

    def cull(self) -> Scan:
        for name in self._catalog.names():
            is_empty = True
            for directory, file in self._catalog.files(name):
                is_empty = _cull_file(directory, file) and is_empty
                yield None
            # One without information may be somebody's own, as all are that this store may not make.
            if is_empty and self._catalog.auto_create and self._catalog.info(name) is not None:
                self._catalog.remove(name)
        for name in self._catalog.orphans():
            self._catalog.remove(name)
            yield None
        for path in self._catalog.roots():
            with Directory(str(path)) as root:
                for file in root.files():
                    _remove_temporary(root, file, age=_TEMPORARY_AGE)
                    yield None


def _cull_file(directory: Directory, file: str) -> bool:
    """Whether it is gone."""
    if is_temporary(file):
        return _remove_temporary(directory, file, age=_TEMPORARY_AGE)
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
    return None if file is None else parsed(directory, name, file)


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


def _remove_temporary(directory: Directory, name: str, *, age: timedelta = timedelta(0)) -> bool:
    """Remove the file if it is a temporary one of this age; return whether it was removed."""
    if not is_temporary(name):
        return False
    # Not while a conditional write has put aside in it what it replaces.
    with directory.locked():
        status = directory.status(name)
        if status is None or (age and status.st_mtime > (clock.now() - age).timestamp()):
            return False
        return directory.remove(name)


def _refuse_unknown(path: str) -> None:
    message = f"the name of {path} is unknown, because a strategy shortened it; put the entry again, or remove it"
    raise KeyValueStoreError(message)
