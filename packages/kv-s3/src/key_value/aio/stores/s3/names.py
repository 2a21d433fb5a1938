"""Conversion of collection and key to an object name, and back."""

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
# File systems accept 255 bytes, some of which servers need for temporary names: with 230, versitygw 1.8 cannot
# overwrite an object.
_MAX_PART_BYTES = 200

_HEX_DIGITS = 64

PROBES = "/%~probe-"
"""The prefix of the test objects that detect a server's behaviour. No entry has such a name."""


class _S3Strategy(SanitizationStrategy):
    """Shortens a name of more than `max_bytes` bytes to a prefix and 8 digits of its SHA-256.

    Entries written by this library contain the full name, so the entry of another name is never returned.
    """

    @warn_types
    def __init__(self, max_bytes: int = 500) -> None:
        """Raises ValueError if `max_bytes` is below 16."""
        if max_bytes < 2 * self._DIGITS:
            message = f"max_bytes must be at least {2 * self._DIGITS}, not {max_bytes}"
            raise ValueError(message)
        self.max_bytes = max_bytes

    _DIGITS = 8
    _SHORTENED = re.compile(r"[0-9a-f]{8}\Z")
    # Truncation drops an incomplete character, whose UTF-8 has at most four bytes.
    _MAX_PARTIAL_CHARACTER_BYTES = 3

    def sanitize(self, value: str) -> str:
        octets = value.encode()
        if len(octets) <= self.max_bytes:
            return value
        return _head(octets, self.max_bytes - self._DIGITS) + sha256(octets).hexdigest()[: self._DIGITS]

    def try_unsanitize(self, value: str) -> str | None:
        min_shortened_bytes = self.max_bytes - self._MAX_PARTIAL_CHARACTER_BYTES
        may_be_shortened = len(value.encode()) >= min_shortened_bytes and self._SHORTENED.search(value)
        return None if may_be_shortened else value


class S3KeySanitizationStrategy(_S3Strategy):
    """Shortens keys like earlier versions, for applications that used this strategy."""


class S3CollectionSanitizationStrategy(_S3Strategy):
    """Shortens collections like earlier versions, for applications that used this strategy."""


class Names(ABC):
    """The names of objects on one kind of server."""

    @abstractmethod
    def prefix(self, collection: str) -> str:
        """Return the common prefix of exactly the names of the collection's entries."""

    @abstractmethod
    def key(self, collection: str, key: str) -> str:
        """Return the name of the entry without the prefix."""

    @abstractmethod
    def key_prefix(self, prefix: str) -> str:
        """Return a prefix of the stored forms of all keys with this prefix; those of other keys may share it."""

    @abstractmethod
    def split(self, name: str) -> tuple[str | None, str | None] | None:
        """Return the collection and key of a name, each None if it is hashed. Return None if no entry has this name."""

    def name(self, collection: str, key: str) -> str:
        return self.prefix(collection) + self.key(collection, key)

    def older_name(self, collection: str, key: str) -> str | None:  # noqa: ARG002 — for overrides
        """Return the name of this entry in earlier versions if it differs and is unambiguous, otherwise None."""
        return None


class _Exact(Names):
    """Names for servers that distinguish all names, like AWS: `collection/key`, as in stored format v1.

    A collection that contains a slash is escaped after an initial slash. `%~` is the escape sequence for what no server
    accepts: `%~~` for `%~` itself, `%~0` for NUL, and `%~#` before the digest in a name of more than 1024 bytes.
    """

    _TO_ESCAPE = re.compile("%~|\0")
    _ESCAPES = re.compile("%~(.?)", re.DOTALL)
    _HASHED_COLLECTION = re.compile(r"/%~#[0-9a-f]{64}/")
    _HASHED_KEY = re.compile(r"%~#[0-9a-f]{64}\Z")

    def prefix(self, collection: str) -> str:
        if (
            len(collection) < _MAX_COLLECTION_BYTES // 4
            and "/" not in collection
            and not self._needs_escape(collection)
        ):
            return collection + _SEPARATOR
        prefix = collection_prefix(self._escape(collection), _SEPARATOR)
        if len(prefix.encode()) <= _MAX_COLLECTION_BYTES:
            return prefix
        return f"/%~#{sha256(collection.encode()).hexdigest()}/"

    def key(self, collection: str, key: str) -> str:
        stored = self._escape(key) if self._needs_escape(key) else key
        if len(stored) <= _MAX_BYTES // 8:
            return stored
        room = _MAX_BYTES - len(self.prefix(collection).encode())
        octets = stored.encode()
        return stored if len(octets) <= room else _hashed(octets, key, room, "%~#")

    def key_prefix(self, prefix: str) -> str:
        # The minimum length of the head of a hashed key.
        return _head(self._escape(prefix).encode(), _MAX_COLLECTION_BYTES - len("%~#") - _HEX_DIGITS)

    def split(self, name: str) -> tuple[str | None, str | None] | None:
        hashed = self._HASHED_COLLECTION.match(name)
        if hashed is not None:
            collection, key = None, name[hashed.end() :]
        else:
            names = split_names(name, _SEPARATOR)
            if names is None:
                return None
            collection, key = self._unescape(names[0]), names[1]
            if collection is None:
                return None
        if self._HASHED_KEY.search(key):
            return collection, None
        original = self._unescape(key)
        return (collection, original) if original else None

    def _needs_escape(self, name: str) -> bool:
        return self._TO_ESCAPE.search(name) is not None

    def _escape(self, name: str) -> str:
        return self._TO_ESCAPE.sub(lambda found: "%~0" if found[0] == "\0" else "%~~", name)

    def _unescape(self, stored: str) -> str | None:
        """Return the original of an escaped name, None if `_escape` does not return this name."""
        if not all(found[1] and found[1] in "~0" for found in self._ESCAPES.finditer(stored)):
            return None
        return self._ESCAPES.sub(lambda found: "\0" if found[1] == "0" else "%~", stored)


class _Flat(Names):
    """Names for servers that store objects as files: collection and key are one path part each.

    On such servers, a name that contains a slash or consists of dots would coincide with another name or exclude it.
    """

    # Listings are XML, which cannot represent control characters.
    _INVALID = "/\\x00-\\x1f\\x7f\ufffe\uffff"
    _collections = EscapingStrategy(rf"[{_INVALID}]|\A\.", _MAX_PART_BYTES)
    _keys = EscapingStrategy(rf"[{_INVALID}]|\A\.{{1,2}}\Z", _MAX_PART_BYTES)
    _HASHED = re.compile(r"%~[0-9a-f]{64}\Z")
    _TO_ESCAPE = re.compile(f"[{_INVALID}]")
    # The part of a prefix whose escaping depends on the characters after it, or that older names do not escape.
    _AMBIGUOUS_END = re.compile(rf"\A\.{{1,2}}\Z|[%{_INVALID}].*\Z", re.DOTALL)

    def prefix(self, collection: str) -> str:
        return self._collections.sanitize(collection) + _SEPARATOR

    def key(self, collection: str, key: str) -> str:  # noqa: ARG002 — other servers limit the whole name
        return self._keys.sanitize(key)

    def key_prefix(self, prefix: str) -> str:
        stored = self._AMBIGUOUS_END.sub("", prefix)
        return _head(stored.encode(), _MAX_PART_BYTES - len("%~") - _HEX_DIGITS)

    def older_name(self, collection: str, key: str) -> str | None:
        parts = key.split("/")
        kept = len(parts) > 1 and all(self._is_valid_part(part) for part in parts)
        return f"{collection}/{key}" if kept and self.prefix(collection) == f"{collection}/" else None

    def _is_valid_part(self, part: str) -> bool:
        return (
            part not in ("", ".", "..") and not self._TO_ESCAPE.search(part) and len(part.encode()) <= _MAX_PART_BYTES
        )

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


def _hashed(octets: bytes, name: str, room: int, digest_prefix: str) -> str:
    return f"{_head(octets, room - len(digest_prefix) - _HEX_DIGITS)}{digest_prefix}{sha256(name.encode()).hexdigest()}"


def _head(octets: bytes, size: int) -> str:
    return octets[:size].decode(errors="ignore")
