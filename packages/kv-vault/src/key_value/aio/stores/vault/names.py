"""An entry's path: `collection::key`, as earlier versions have it, with what Vault refuses or folds escaped."""

import re
import unicodedata
from hashlib import sha256

from key_value.aio.core.names import collection_prefix, join_names, split_names

__all__ = ["MAX_PATH_BYTES", "path_of", "path_prefix", "split_path"]

MAX_PATH_BYTES = 1024
"""Vault encrypts each part of a path and writes it in base 58, which takes time by the square of its length: 10 ms for
this one, and 2 s for 30 000 bytes.
"""

_MARK = "%~"
_HASH_MARK = "%~#"
_HASHED = re.compile(f"{_HASH_MARK}[0-9a-f]{{64}}\\Z")
_HEAD_BYTES = MAX_PATH_BYTES - len(_HASH_MARK) - 64
# A character is four bytes at the most, so that a head may end three bytes early.
_SLACK = 3

# Of an old Unicode, so that every Python escapes alike. Since then, the soft hyphen has become unprintable, and the
# emoji below have been added.
_CATEGORIES = unicodedata.ucd_3_2_0
_SOFT_HYPHEN = "\xad"
_EMOJI = re.compile("[\U0001f300-\U0001f64f\U0001f680-\U0001f6c5\U0001f910-\U0001f918\U0001f980-\U0001f984]")

# Vault redirects a path with an empty part, or one of dots, to another.
_FOLDED = r"\A/|(?<=/)/|/\Z|(?:\A|(?<=/))\.{1,2}(?=/|\Z)"
_ESCAPED = re.compile(rf"%(?=~)|{_FOLDED}|[^\x20-\x7e]")
_ESCAPES = re.compile(rb"%~([0-9A-F]{2})")
# What is escaped or not by what comes behind it.
_UNDECIDED = re.compile(r"[%./]+\Z")


def path_of(collection: str, key: str) -> str:
    name = join_names(collection, key)
    octets = _escaped(name).encode()
    if len(octets) <= MAX_PATH_BYTES:
        return octets.decode()
    return f"{octets[:_HEAD_BYTES].decode(errors='ignore')}{_HASH_MARK}{sha256(name.encode()).hexdigest()}"


def path_prefix(collection: str, prefix: str) -> str:
    """What the paths begin with of all entries of the collection whose keys begin with the prefix."""
    name = _UNDECIDED.sub("", collection_prefix(collection) + prefix)
    return _escaped(name).encode()[: _HEAD_BYTES - _SLACK].decode(errors="ignore")


def split_path(path: str) -> tuple[str, str] | None:
    """The collection and key; None where a digest hides them, and for a path that no entry has."""
    if _HASHED.search(path):
        return None
    try:
        name = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), path.encode()).decode()
    except UnicodeDecodeError:
        return None
    names = split_names(name)
    return names if names is not None and path_of(*names) == path else None


def _escaped(name: str) -> str:
    return _ESCAPED.sub(_escape, name)


def _escape(found: "re.Match[str]") -> str:
    text = found[0]
    if text[0] not in "%./" and _is_printable(text):
        return text
    return "".join(f"{_MARK}{byte:02X}" for byte in text.encode())


def _is_printable(character: str) -> bool:
    """Whether Vault takes it for printable, which it asks of a path."""
    if character == _SOFT_HYPHEN:
        return False
    return _CATEGORIES.category(character)[0] in "LMNPS" or _EMOJI.match(character) is not None
