"""File and directory names for keys and collections."""

import os
import re
from abc import ABC, abstractmethod

from key_value.aio.core.sanitization import EscapingStrategy, HybridSanitizationStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import InvalidKeyError

__all__ = [
    "ENTRY_SUFFIX",
    "INFO_SUFFIX",
    "CustomNames",
    "EscapedNames",
    "FileTreeV1CollectionSanitizationStrategy",
    "FileTreeV1KeySanitizationStrategy",
    "Names",
]

ENTRY_SUFFIX = ".json"
INFO_SUFFIX = "-info.json"

# In bytes. All common file systems have this limit; NTFS counts UTF-16 units and APFS characters instead.
_NAME_MAX = 255
# eCryptfs allows no more, and ntfs-3g cannot replace a file with a name near the limit.
_PORTABLE_NAME_MAX = 143
_KEY_MAX = _NAME_MAX - len(ENTRY_SUFFIX)
_COLLECTION_MAX = _NAME_MAX - len(INFO_SUFFIX)

_V1_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


class _FileTreeV1Strategy(HybridSanitizationStrategy):
    """Only changed names contain a hyphen, so names that begin with S_ or H_ can stay unchanged."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length, _V1_CHARACTERS)

    def sanitize(self, value: str) -> str:
        unchanged = len(value) <= self.max_length and set(value) <= set(_V1_CHARACTERS)
        return value if unchanged else super().sanitize(value)

    def try_unsanitize(self, value: str) -> str | None:
        return value if self.sanitize(value) == value else None


class FileTreeV1KeySanitizationStrategy(_FileTreeV1Strategy):
    """Stores keys of ASCII letters, digits and `_` unchanged, others as `S_{text}-{hash}`; 250 characters at most."""

    @warn_types
    def __init__(self, directory: str | os.PathLike[str]) -> None:  # noqa: ARG002 — accepted for compatibility
        """`directory` has no effect: earlier versions used it only on file systems with unusual limits."""
        super().__init__(_KEY_MAX)


class FileTreeV1CollectionSanitizationStrategy(_FileTreeV1Strategy):
    """Like FileTreeV1KeySanitizationStrategy, but with 245 characters at most."""

    @warn_types
    def __init__(self, directory: str | os.PathLike[str]) -> None:  # noqa: ARG002 — as for keys
        super().__init__(_COLLECTION_MAX)


_MATCHES_NOTHING = r"(?!)"


class Names(ABC):
    """The mapping from one kind of names, keys or collections, to stored names."""

    @abstractmethod
    def stored_names(self, name: str) -> tuple[str, ...]:
        """Return the possible stored names: first the one to write to, then those of older naming schemes."""

    @abstractmethod
    def matches(self, stored: str, found: str | None, name: str) -> bool:
        """Whether the file `stored`, with the name `found` in its envelope, belongs to `name`."""

    @abstractmethod
    def original(self, stored: str, found: str | None) -> str | None:
        """Return the original name of the file; None if it is unknown, or if the envelope's name belongs elsewhere."""

    @abstractmethod
    def from_stored(self, stored: str) -> str | None:
        """Return the original name as derived from the stored name alone; None if that is not possible."""

    def may_have_prefix(self, stored: str, prefix: str) -> bool:  # noqa: ARG002 — unknown by default
        """Whether the original name of the file can begin with the prefix."""
        return True


class CustomNames(Names, SanitizationStrategy):
    """The user's strategy, with a check that its names stay in the tree. BaseStore applies it and compares names."""

    def __init__(self, strategy: SanitizationStrategy, suffix: str, reserved: str = _MATCHES_NOTHING) -> None:
        """The tree appends `suffix`. `reserved` is a regular expression that matches names reserved by the tree."""
        self._strategy = strategy
        self._invalid = re.compile(rf"[/\\\0]|\A[.]{{0,2}}\Z|{reserved}")
        self._max_bytes = _NAME_MAX - len(suffix)

    def validate(self, value: str) -> None:
        self._strategy.validate(value)

    def sanitize(self, value: str) -> str:
        stored = self._strategy.sanitize(value)
        if self._invalid.search(stored) or len(stored.encode()) > self._max_bytes:
            message = (
                f"{type(self._strategy).__name__} returns {stored!a:.300}, which is not a valid name of a file or "
                "directory in the tree"
            )
            raise InvalidKeyError(message)
        return stored

    def try_unsanitize(self, value: str) -> str | None:
        """Return the name unchanged, because the tree lists original names, read from the envelopes if necessary."""
        return value

    def stored_names(self, name: str) -> tuple[str, ...]:
        return (name,)

    def matches(self, stored: str, found: str | None, name: str) -> bool:  # noqa: ARG002 — BaseStore compares the names
        return True

    def original(self, stored: str, found: str | None) -> str | None:
        if found is None:
            return self._strategy.try_unsanitize(stored)
        return found if self._strategy.sanitize(found) == stored else None

    def from_stored(self, stored: str) -> str | None:
        return self._strategy.try_unsanitize(stored)


# Path separators, control characters, and a leading dot, which marks the tree's own files.
_UNSAFE = r"[/\\\x00-\x1f\x7f]|\A[.]"

# Also what Windows rejects, strips, reserves or reads as a short name, and letters that file systems fold or normalize:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_UNPORTABLE = (
    _UNSAFE
    + r"""|[<>:"|?*A-Z]|[^\x00-\x7f]|[. ]\Z|~(?=[0-9])"""
    + r"|\A(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin[$]|conout[$]) *(?:[.]|\Z))[a-z]"
)


_ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})")
_CUT_ESCAPE = re.compile(rb"%[0-9A-Fa-f]?\Z")
_HASH_SEPARATOR = b"%~"


_SEPARATORS = "/" if os.sep == "/" else r"/\\:"


class EscapedNames(Names):
    """Names with `%` escapes where necessary. Older trees may also contain unescaped names.

    Exact names are for file systems that distinguish all names; only unsafe characters are escaped. Portable names are
    lower-case ASCII, without anything that a platform rejects or reserves.

    An entry stored under a changed name has its original name in the envelope. Without a name in the envelope, the path
    is the name, because py-key-value-aio escaped nothing.
    """

    def __init__(self, suffix: str, reserved: str = _MATCHES_NOTHING, *, portable: bool) -> None:
        """See CustomNames for `suffix` and `reserved`."""
        self._portable = portable
        self._max_bytes = _NAME_MAX - len(suffix)
        self._never_stored_unescaped = re.compile(rf"[{_SEPARATORS}\0]|\A[.]{{1,2}}\Z|{reserved}")
        self._strategies = [EscapingStrategy(f"{_UNSAFE}|{reserved}", self._max_bytes)]
        if portable:
            portable_strategy = EscapingStrategy(f"{_UNPORTABLE}|{reserved}", _PORTABLE_NAME_MAX - len(suffix))
            self._strategies.insert(0, portable_strategy)

    def stored_names(self, name: str) -> tuple[str, ...]:
        stored = self._strategies[0].sanitize(name)
        if stored == name:
            return (name,)
        older = [strategy.sanitize(name) for strategy in self._strategies[1:]]
        if not self._never_stored_unescaped.search(name) and len(name.encode()) <= self._max_bytes:
            older.append(name)
        return tuple(dict.fromkeys((stored, *older)))

    def matches(self, stored: str, found: str | None, name: str) -> bool:
        return name == (stored if found is None else found)

    def original(self, stored: str, found: str | None) -> str | None:
        if found is None:
            return stored
        stored_names = self.stored_names(found)
        if self._portable:
            # Some file systems change the case of names.
            stored_names, stored = tuple(place.lower() for place in stored_names), stored.lower()
        return found if stored in stored_names else None

    def from_stored(self, stored: str) -> str | None:
        return self._strategies[0].try_unsanitize(stored)

    def may_have_prefix(self, stored: str, prefix: str) -> bool:
        octets, prefix_octets = stored.encode(), prefix.encode()
        if self._portable:
            octets, prefix_octets = octets.lower(), prefix_octets.lower()
        if octets.startswith(prefix_octets):
            return True
        if b"%" not in octets:
            return False
        head, mark, _ = octets.rpartition(_HASH_SEPARATOR)
        if mark:
            # The name was truncated before the hash, maybe in the middle of an escape.
            head = self._unescaped(_CUT_ESCAPE.sub(b"", head))
            if prefix_octets.startswith(head):
                return True
        return self._unescaped(octets).startswith(prefix_octets)

    def _unescaped(self, octets: bytes) -> bytes:
        unescaped = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), octets)
        return unescaped.lower() if self._portable else unescaped
