"""Paths of entries: `collection::key`, as in earlier versions, with characters escaped that Vault rejects or folds."""

import re
import unicodedata
from hashlib import sha256

from key_value.aio.core.names import collection_prefix, join_names, split_names

__all__ = ["MAX_PATH_BYTES", "path_of", "path_prefix", "split_path"]

MAX_PATH_BYTES = 1024
"""Vault encrypts each part of a path and encodes it in base 58, in time quadratic in its length: 10 ms for this length,
2 s for 30 000 bytes.
"""

_ESCAPE_PREFIX = "%~"
_DIGEST_PREFIX = "%~#"
_HASHED = re.compile(f"{_DIGEST_PREFIX}[0-9a-f]{{64}}\\Z")
_HEAD_BYTES = MAX_PATH_BYTES - len(_DIGEST_PREFIX) - 64
# Truncation drops an incomplete character, whose UTF-8 has at most four bytes.
_MAX_PARTIAL_CHARACTER_BYTES = 3

# A fixed old Unicode version, so that every Python escapes the same characters. Since then, the soft hyphen has become
# unprintable, and the emoji below have been added.
_CATEGORIES = unicodedata.ucd_3_2_0
_SOFT_HYPHEN = "\xad"
_EMOJI = re.compile("[\U0001f300-\U0001f64f\U0001f680-\U0001f6c5\U0001f910-\U0001f918\U0001f980-\U0001f984]")

# Vault redirects a path with an empty, `.` or `..` part to another path.
_FOLDED = r"\A/|(?<=/)/|/\Z|(?:\A|(?<=/))\.{1,2}(?=/|\Z)"
_ESCAPED = re.compile(rf"%(?=~)|{_FOLDED}|[^\x20-\x7e]")
_ESCAPES = re.compile(rb"%~([0-9A-F]{2})")
# Whether these are escaped depends on the characters after them.
_CONTEXT_DEPENDENT_END = re.compile(r"[%./]+\Z")


def path_of(collection: str, key: str) -> str:
    name = join_names(collection, key)
    octets = _escaped(name).encode()
    if len(octets) <= MAX_PATH_BYTES:
        return octets.decode()
    return f"{octets[:_HEAD_BYTES].decode(errors='ignore')}{_DIGEST_PREFIX}{sha256(name.encode()).hexdigest()}"


def path_prefix(collection: str, prefix: str) -> str:
    """Return a prefix of the paths of all entries of the collection with this key prefix; other paths may share it."""
    name = _CONTEXT_DEPENDENT_END.sub("", collection_prefix(collection) + prefix)
    return _escaped(name).encode()[: _HEAD_BYTES - _MAX_PARTIAL_CHARACTER_BYTES].decode(errors="ignore")


def split_path(path: str) -> tuple[str, str] | None:
    """Return the collection and key of a path; None if a digest replaces them, or if no entry has this path."""
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
    return "".join(f"{_ESCAPE_PREFIX}{byte:02X}" for byte in text.encode())


def _is_printable(character: str) -> bool:
    """Whether Vault considers the character printable, as it requires in paths."""
    if character == _SOFT_HYPHEN:
        return False
    return _CATEGORIES.category(character)[0] in "LMNPS" or _EMOJI.match(character) is not None
