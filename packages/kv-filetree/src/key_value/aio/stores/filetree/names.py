"""Names of files and directories for keys and collections."""

import os
import re
from abc import ABC, abstractmethod

from key_value.aio.core.sanitization import EscapingStrategy, HybridSanitizationStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import InvalidKeyError

__all__ = [
    "ENTRY_SUFFIX",
    "INFO_SUFFIX",
    "EscapedNames",
    "FileTreeV1CollectionSanitizationStrategy",
    "FileTreeV1KeySanitizationStrategy",
    "GivenNames",
    "Names",
]

ENTRY_SUFFIX = ".json"
INFO_SUFFIX = "-info.json"

# In bytes. Every common file system has this limit, of which NTFS and APFS count UTF-16 units and characters.
_NAME_MAX = 255
# eCryptfs has no room for more, and ntfs-3g cannot replace a file whose name is near the limit.
_PORTABLE_NAME_MAX = 143
_KEY_MAX = _NAME_MAX - len(ENTRY_SUFFIX)
_COLLECTION_MAX = _NAME_MAX - len(INFO_SUFFIX)

_V1_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"


class _FileTreeV1Strategy(HybridSanitizationStrategy):
    """A changed name holds a hyphen, which no other does: names that begin with S_ or H_ need not be changed."""

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length, _V1_CHARACTERS)

    def sanitize(self, value: str) -> str:
        unchanged = len(value) <= self.max_length and set(value) <= set(_V1_CHARACTERS)
        return value if unchanged else super().sanitize(value)

    def try_unsanitize(self, value: str) -> str | None:
        return value if self.sanitize(value) == value else None


class FileTreeV1KeySanitizationStrategy(_FileTreeV1Strategy):
    """ASCII letters, digits and `_`; anything else becomes `S_{text}-{hash}`, 250 characters at most."""

    @warn_types
    def __init__(self, directory: str | os.PathLike[str]) -> None:  # noqa: ARG002 — see below
        """`directory` has no effect: it mattered only on file systems with unusual limits."""
        super().__init__(_KEY_MAX)


class FileTreeV1CollectionSanitizationStrategy(_FileTreeV1Strategy):
    """Like the strategy for keys, with 245 characters at most."""

    @warn_types
    def __init__(self, directory: str | os.PathLike[str]) -> None:  # noqa: ARG002 — as for keys
        super().__init__(_COLLECTION_MAX)


_NOTHING = r"(?!)"


class Names(ABC):
    """The places of entries for one kind of name, keys or collections."""

    @abstractmethod
    def places(self, name: str) -> tuple[str, ...]:
        """The possible stored names: the one for writing first, then older ones."""

    @abstractmethod
    def is_of(self, stored: str, found: str | None, name: str) -> bool:
        """Whether what lies at `stored`, with the name `found` in its envelope, is what `name` means."""

    @abstractmethod
    def original(self, stored: str, found: str | None) -> str | None:
        """The name of the entry there; None if it is unknown, or if the envelope's name belongs elsewhere."""

    @abstractmethod
    def guessed(self, stored: str) -> str | None:
        """The name as far as the stored one alone tells it."""

    def may_begin(self, stored: str, prefix: str) -> bool:  # noqa: ARG002 — most names do not tell
        """Whether the name of what lies there can begin with the prefix."""
        return True


class GivenNames(Names, SanitizationStrategy):
    """The user's strategy. BaseStore applies it and compares names; here it is checked that none leaves the tree."""

    def __init__(self, strategy: SanitizationStrategy, suffix: str, used: str = _NOTHING) -> None:
        """`suffix` is what the tree appends. `used`, a regular expression, finds something in names it uses itself."""
        self._strategy = strategy
        self._refused = re.compile(rf"[/\\\0]|\A[.]{{0,2}}\Z|{used}")
        self._max_bytes = _NAME_MAX - len(suffix)

    def validate(self, value: str) -> None:
        self._strategy.validate(value)

    def sanitize(self, value: str) -> str:
        stored = self._strategy.sanitize(value)
        if self._refused.search(stored) or len(stored.encode()) > self._max_bytes:
            message = (
                f"{type(self._strategy).__name__} gives {stored!a:.300}, which cannot be the name of a file or "
                "directory in the tree"
            )
            raise InvalidKeyError(message)
        return stored

    def try_unsanitize(self, value: str) -> str | None:
        """The name itself, because the tree lists names as they were: it reads those that the strategy cannot tell."""
        return value

    def places(self, name: str) -> tuple[str, ...]:
        return (name,)

    def is_of(self, stored: str, found: str | None, name: str) -> bool:  # noqa: ARG002 — BaseStore compares
        return True

    def original(self, stored: str, found: str | None) -> str | None:
        if found is None:
            return self._strategy.try_unsanitize(stored)
        return found if self._strategy.sanitize(found) == stored else None

    def guessed(self, stored: str) -> str | None:
        return self._strategy.try_unsanitize(stored)


# Characters that would leave the directory, invisible ones, and a leading dot, which marks files of the tree itself.
_REFUSED = r"[/\\\x00-\x1f\x7f]|\A[.]"

# What Windows refuses, cuts off, takes for a short name or reserves, and what a file system takes for another letter:
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_REFUSED_SOMEWHERE = (
    _REFUSED
    + r"""|[<>:"|?*A-Z]|[^\x00-\x7f]|[. ]\Z|~(?=[0-9])"""
    + r"|\A(?=(?:con|prn|aux|nul|com[0-9]|lpt[0-9]|conin[$]|conout[$]) *(?:[.]|\Z))[a-z]"
)


_ESCAPES = re.compile(rb"%([0-9A-Fa-f]{2})")
_CUT_ESCAPE = re.compile(rb"%[0-9A-Fa-f]?\Z")
_HASH_MARK = b"%~"


_SEPARATORS = "/" if os.sep == "/" else r"/\\:"


class EscapedNames(Names):
    """Names with `%` escapes where necessary; in older trees, also entirely unescaped.

    Exact names are for file systems that distinguish all names; only unsafe characters are escaped. Portable names are
    lower case ASCII, without anything that a platform refuses or reserves.

    An entry under a changed name holds its own name in the envelope. An envelope without one belongs to the name that
    its path spells literally: py-key-value-aio escaped nothing.
    """

    def __init__(self, suffix: str, used: str = _NOTHING, *, portable: bool) -> None:
        """As in GivenNames."""
        self._portable = portable
        self._longest = _NAME_MAX - len(suffix)
        self._not_older = re.compile(rf"[{_SEPARATORS}\0]|\A[.]{{1,2}}\Z|{used}")
        self._spellings = [EscapingStrategy(f"{_REFUSED}|{used}", self._longest)]
        if portable:
            portable_spelling = EscapingStrategy(f"{_REFUSED_SOMEWHERE}|{used}", _PORTABLE_NAME_MAX - len(suffix))
            self._spellings.insert(0, portable_spelling)

    def places(self, name: str) -> tuple[str, ...]:
        stored = self._spellings[0].sanitize(name)
        if stored == name:
            return (name,)
        older = [spelling.sanitize(name) for spelling in self._spellings[1:]]
        if not self._not_older.search(name) and len(name.encode()) <= self._longest:
            older.append(name)
        return tuple(dict.fromkeys((stored, *older)))

    def is_of(self, stored: str, found: str | None, name: str) -> bool:
        return name == (stored if found is None else found)

    def original(self, stored: str, found: str | None) -> str | None:
        if found is None:
            return stored
        places = self.places(found)
        if self._portable:
            # Some file systems list names in another case than they were given.
            places, stored = tuple(place.lower() for place in places), stored.lower()
        return found if stored in places else None

    def guessed(self, stored: str) -> str | None:
        return self._spellings[0].try_unsanitize(stored)

    def may_begin(self, stored: str, prefix: str) -> bool:
        octets, beginning = stored.encode(), prefix.encode()
        if self._portable:
            octets, beginning = octets.lower(), beginning.lower()
        if octets.startswith(beginning):
            return True
        if b"%" not in octets:
            return False
        head, mark, _ = octets.rpartition(_HASH_MARK)
        if mark:
            # Cut off in front of its hash, maybe in the middle of an escape.
            head = self._unescaped(_CUT_ESCAPE.sub(b"", head))
            if beginning.startswith(head):
                return True
        return self._unescaped(octets).startswith(beginning)

    def _unescaped(self, octets: bytes) -> bytes:
        unescaped = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), octets)
        return unescaped.lower() if self._portable else unescaped
