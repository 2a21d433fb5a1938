"""Entries as registry values: their names, and how to recognize them. All calls block."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.windows_registry.client import (
    MAX_FOLDER_LENGTH,
    MAX_VALUE_NAME_LENGTH,
    Registry,
    length_of,
)

__all__ = ["Entries"]

# The registry ignores case. Which letters it treats as equal is certain only for ASCII. Every % is escaped, because %C3
# and %c3 are equal as well. A backslash separates the names of keys, but is an ordinary character in names of values.
_FOLDERS = EscapingStrategy(r"%|[^ -@\[\]-~]", MAX_FOLDER_LENGTH)
_VALUE_NAMES = EscapingStrategy(r"%|[^ -@\[-~]", MAX_VALUE_NAME_LENGTH)

NameMapping = Callable[[str], str]


class _Place(NamedTuple):
    folder: str
    name: str

    def equals(self, other: "_Place") -> bool:
        return self.folder.upper() == other.folder.upper() and self.name.upper() == other.name.upper()


class _Found(NamedTuple):
    place: _Place
    is_current: bool
    """Whether it is the place that entries are written to, rather than that of stored format v1."""
    collection: str
    key: str
    entry: ManagedEntry | None
    """None if the value is corrupt."""

    @property
    def is_live(self) -> bool:
        return self.entry is None or not self.entry.is_expired

    @property
    def names_itself(self) -> bool:
        """Whether it is certainly an entry, rather than a value of another application."""
        return self.entry is not None and self.entry.collection is not None and self.entry.key is not None


class Entries:
    """The entries below one registry key."""

    def __init__(self, registry: Registry, stored_collection: NameMapping, stored_key: NameMapping) -> None:
        """`stored_collection` and `stored_key` return the stored form of the names in an entry."""
        self._registry = registry
        self._stored_collection = stored_collection
        self._stored_key = stored_key

    def get(self, collection: str, key: str) -> ManagedEntry | None:
        for place in _places(collection, key):
            text = self._registry.get(*place)
            if text is not None:
                return self._load(place, text)
        return None

    def get_each(self, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return [self.get(collection, key) for key in keys]

    def put_each(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> None:
        texts = [dump_entry(entry).decode() for entry in entries]
        for key, text in zip(keys, texts, strict=True):
            self._registry.put(*_current_place(collection, key), text)

    def delete_each(self, collection: str, keys: Sequence[str]) -> int:
        return sum(self._delete(collection, key) for key in keys)

    def keys(self, collection: str, limit: int | None) -> list[str]:
        folders = dict.fromkeys(place.folder for place in _places(collection, "key"))
        found = (found for found in self._find(folders) if found.collection == collection)
        return list(islice((key for _, key in _live(found)), limit))

    def collections(self, limit: int | None) -> list[str]:
        found = self._find(self._registry.folders())
        return list(islice(dict.fromkeys(collection for collection, _ in _live(found)), limit))

    def destroy(self) -> None:
        for found in self._find(self._registry.folders()):
            if found.names_itself:
                self._registry.delete(*found.place)

    def destroy_collection(self, collection: str) -> bool:
        """Delete the collection; return whether it had a live entry."""
        destroyed = False
        for found in self._find(dict.fromkeys(place.folder for place in _places(collection, "key"))):
            if found.names_itself and found.collection == collection:
                destroyed |= self._registry.delete(*found.place) and found.is_live
        return destroyed

    def cull(self) -> None:
        for found in self._find(self._registry.folders()):
            if found.names_itself and not found.is_live and self._is_expired(found.place):
                self._registry.delete(*found.place)

    def _delete(self, collection: str, key: str) -> bool:
        current, *legacy = _places(collection, key)
        existed = False
        # The place that is read first is deleted last, so that an interruption leaves the entry unchanged.
        for place in (*legacy, current):
            found = self._find_at(place)
            if found is None or (found.collection, found.key) != (collection, key):
                continue
            if found.is_current or found.entry:
                existed |= self._registry.delete(*place) and found.is_live
        return existed

    def _is_expired(self, place: _Place) -> bool:
        # Read again, because another process may have replaced the entry since it was listed.
        found = self._find_at(place)
        return found is not None and not found.is_live

    def _find_at(self, place: _Place) -> _Found | None:
        try:
            text = self._registry.get(*place)
        except DeserializationError:
            return self._recognize(place, None)
        return None if text is None else self._recognize(place, text)

    def _find(self, folders: Iterable[str]) -> Iterator[_Found]:
        for folder in folders:
            for name, text in self._registry.values(folder):
                found = self._recognize(_Place(folder, name), text)
                if found is not None:
                    yield found

    def _recognize(self, place: _Place, text: str | None) -> _Found | None:
        """Return the entry at the place; None if no store can have written the value there."""
        entry: ManagedEntry | None = None
        with suppress(DeserializationError):
            entry = None if text is None else load_entry(text)
        if entry is None or entry.collection is None or entry.key is None:
            collection, key = _FOLDERS.try_unsanitize(place.folder), _VALUE_NAMES.try_unsanitize(place.name)
        else:
            collection, key = self._stored_collection(entry.collection), self._stored_key(entry.key)
        if not collection or not key:
            return None
        current, *legacy = _places(collection, key)
        if not any(place.equals(possible) for possible in (current, *legacy)):
            return None
        return _Found(place, place.equals(current), collection, key, entry)

    def _load(self, place: _Place, text: str) -> ManagedEntry:
        try:
            return load_entry(text)
        except DeserializationError as exc:
            message = f"{self._registry.where(*place)} is not an entry"
            raise DeserializationError(message) from exc


def _current_place(collection: str, key: str) -> _Place:
    return _Place(_FOLDERS.sanitize(collection), _VALUE_NAMES.sanitize(key))


def _places(collection: str, key: str) -> Iterator[_Place]:
    """Yield the place of the entry, then its place in stored format v1 if that differs and is valid."""
    current, legacy = _current_place(collection, key), _Place(collection, key)
    yield current
    fits = length_of(key) <= MAX_VALUE_NAME_LENGTH and all(
        0 < length_of(part) <= MAX_FOLDER_LENGTH for part in collection.split("\\")
    )
    if legacy != current and fits and "\0" not in collection + key:
        yield legacy


def _live(found: Iterable[_Found]) -> Iterator[tuple[str, str]]:
    """Yield the distinct names of entries that `get` would find."""
    live: dict[tuple[str, str], bool] = {}
    for each in found:
        names = each.collection, each.key
        if each.is_current or names not in live:
            live[names] = each.is_live
    return (names for names, is_live in live.items() if is_live)
