"""From a collection and a key to the name of their object, and back."""

import re
from abc import ABC, abstractmethod
from hashlib import sha256

from key_value.aio.core.names import collection_prefix, split_names
from key_value.aio.core.sanitization import EscapingStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import warn_types

__all__ = [
    "EXACT",
    "FLAT",
    "PROBES",
    "Names",
    "S3CollectionSanitizationStrategy",
    "S3KeySanitizationStrategy",
]

_SEPARATOR = "/"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_MAX_BYTES = 1024
_MAX_COLLECTION_BYTES = 512
# A file system takes 255 of a part of a path, of which servers need some for the names of what is being replaced: with
# 230, versitygw 1.8 writes an object once and never again.
_MAX_PART_BYTES = 200

_HEX_DIGITS = 64

PROBES = "/%~probe-"
"""What the names of objects begin with that prove what a server does. No entry has such a name."""


class _S3Strategy(SanitizationStrategy):
    """A name of over `max_bytes` bytes is stored as as much of it as fits and 8 digits of its SHA-256.

    What was written under a shortened name by this library tells the whole one, so that an entry of another name is
    not returned.
    """

    @warn_types
    def __init__(self, max_bytes: int = 500) -> None:
        """`max_bytes` is at least 16."""
        if max_bytes < 2 * self._DIGITS:
            message = f"max_bytes must be at least {2 * self._DIGITS}, not {max_bytes}"
            raise ValueError(message)
        self.max_bytes = max_bytes

    _DIGITS = 8
    _SHORTENED = re.compile(r"[0-9a-f]{8}\Z")
    # A character has up to four bytes, of which none is left where not all fit.
    _LOST = 3

    def sanitize(self, value: str) -> str:
        octets = value.encode()
        if len(octets) <= self.max_bytes:
            return value
        return _head(octets, self.max_bytes - self._DIGITS) + sha256(octets).hexdigest()[: self._DIGITS]

    def try_unsanitize(self, value: str) -> str | None:
        may_be_shortened = len(value.encode()) >= self.max_bytes - self._LOST and self._SHORTENED.search(value)
        return None if may_be_shortened else value


class S3KeySanitizationStrategy(_S3Strategy):
    """Shortens keys as earlier versions did, for applications that used this strategy."""


class S3CollectionSanitizationStrategy(_S3Strategy):
    """Shortens collections as earlier versions did, for applications that used this strategy."""


class Names(ABC):
    """The names of objects on one kind of server."""

    @abstractmethod
    def prefix(self, collection: str) -> str:
        """What the names of the collection's entries begin with, and no others."""

    @abstractmethod
    def key(self, collection: str, key: str) -> str:
        """What the name of the entry has behind the prefix."""

    @abstractmethod
    def key_prefix(self, prefix: str) -> str:
        """What the stored keys begin with, of all keys that begin with the prefix; others may as well."""

    @abstractmethod
    def split(self, name: str) -> tuple[str | None, str | None] | None:
        """The collection and key of an entry by its name; None in place of one that is hashed.

        None for a name that no entry has.
        """

    def name(self, collection: str, key: str) -> str:
        return self.prefix(collection) + self.key(collection, key)

    def older_name(self, collection: str, key: str) -> str | None:  # noqa: ARG002 — most have only the one
        """The name that earlier versions gave to this entry, and could give to no other; None where it is the same."""
        return None


class _Exact(Names):
    """For servers that keep all names apart, as AWS does: `collection/key`, as stored format v1 has it.

    A collection that holds a slash is escaped behind a slash at the start. What no server takes is marked with `%~`:
    `%~~` for itself, `%~0` for NUL, and `%~#` before the digest in a name that is longer than 1024 bytes.
    """

    _MARKED = re.compile("%~|\0")
    _MARKS = re.compile("%~(.?)", re.DOTALL)
    _HASHED_COLLECTION = re.compile(r"/%~#[0-9a-f]{64}/")
    _HASHED_KEY = re.compile(r"%~#[0-9a-f]{64}\Z")

    def prefix(self, collection: str) -> str:
        if len(collection) < _MAX_COLLECTION_BYTES // 4 and "/" not in collection and not self._is_marked(collection):
            return collection + _SEPARATOR
        prefix = collection_prefix(self._mark(collection), _SEPARATOR)
        if len(prefix.encode()) <= _MAX_COLLECTION_BYTES:
            return prefix
        return f"/%~#{sha256(collection.encode()).hexdigest()}/"

    def key(self, collection: str, key: str) -> str:
        stored = self._mark(key) if self._is_marked(key) else key
        if len(stored) <= _MAX_BYTES // 8:
            return stored
        room = _MAX_BYTES - len(self.prefix(collection).encode())
        octets = stored.encode()
        return stored if len(octets) <= room else _hashed(octets, key, room, "%~#")

    def key_prefix(self, prefix: str) -> str:
        # The head of a hashed key has this much at least.
        return _head(self._mark(prefix).encode(), _MAX_COLLECTION_BYTES - len("%~#") - _HEX_DIGITS)

    def split(self, name: str) -> tuple[str | None, str | None] | None:
        hashed = self._HASHED_COLLECTION.match(name)
        if hashed is not None:
            collection, key = None, name[hashed.end() :]
        else:
            names = split_names(name, _SEPARATOR)
            if names is None:
                return None
            collection, key = self._unmark(names[0]), names[1]
            if collection is None:
                return None
        if self._HASHED_KEY.search(key):
            return collection, None
        original = self._unmark(key)
        return (collection, original) if original else None

    def _is_marked(self, name: str) -> bool:
        return self._MARKED.search(name) is not None

    def _mark(self, name: str) -> str:
        return self._MARKED.sub(lambda found: "%~0" if found[0] == "\0" else "%~~", name)

    def _unmark(self, stored: str) -> str | None:
        """None for what `_mark` does not give."""
        if not all(found[1] and found[1] in "~0" for found in self._MARKS.finditer(stored)):
            return None
        return self._MARKS.sub(lambda found: "\0" if found[1] == "0" else "%~", stored)


class _Flat(Names):
    """For servers that keep objects as files: collection and key are one part of a path each.

    There a name with a slash, or of dots, would be folded into another, or would exclude it.
    """

    # XML, in which names are listed, has no way to write control characters.
    _REFUSED = "/\\x00-\\x1f\\x7f\ufffe\uffff"
    _collections = EscapingStrategy(rf"[{_REFUSED}]|\A\.", _MAX_PART_BYTES)
    _keys = EscapingStrategy(rf"[{_REFUSED}]|\A\.{{1,2}}\Z", _MAX_PART_BYTES)
    _HASHED = re.compile(r"%~[0-9a-f]{64}\Z")
    _ESCAPED = re.compile(f"[{_REFUSED}]")
    # What is escaped or not by what comes behind it, and what older names do not escape.
    _UNDECIDED = re.compile(rf"\A\.{{1,2}}\Z|[%{_REFUSED}].*\Z", re.DOTALL)

    def prefix(self, collection: str) -> str:
        return self._collections.sanitize(collection) + _SEPARATOR

    def key(self, collection: str, key: str) -> str:  # noqa: ARG002 — other servers limit the whole name
        return self._keys.sanitize(key)

    def key_prefix(self, prefix: str) -> str:
        stored = self._UNDECIDED.sub("", prefix)
        return _head(stored.encode(), _MAX_PART_BYTES - len("%~") - _HEX_DIGITS)

    def older_name(self, collection: str, key: str) -> str | None:
        parts = key.split("/")
        kept = len(parts) > 1 and all(self._keeps(part) for part in parts)
        return f"{collection}/{key}" if kept and self.prefix(collection) == f"{collection}/" else None

    def _keeps(self, part: str) -> bool:
        return part not in ("", ".", "..") and not self._ESCAPED.search(part) and len(part.encode()) <= _MAX_PART_BYTES

    def split(self, name: str) -> tuple[str | None, str | None] | None:
        collection, found, key = name.partition(_SEPARATOR)
        if not (found and collection and key):
            return None
        if _SEPARATOR in key:
            return (collection, key) if self.older_name(collection, key) == name else None
        names = self._collections.try_unsanitize(collection), self._keys.try_unsanitize(key)
        for stored, original in zip((collection, key), names, strict=True):
            if original is None and not self._HASHED.search(stored):
                return None
        return names


EXACT, FLAT = _Exact(), _Flat()


def _hashed(octets: bytes, name: str, room: int, mark: str) -> str:
    return f"{_head(octets, room - len(mark) - _HEX_DIGITS)}{mark}{sha256(name.encode()).hexdigest()}"


def _head(octets: bytes, size: int) -> str:
    return octets[:size].decode(errors="ignore")
