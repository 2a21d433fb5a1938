"""Shortening of names that exceed a backend's limit."""

import re
from collections.abc import Sequence
from hashlib import sha256

__all__ = ["is_shortened", "shorten", "shorten_each", "shorten_prefix"]

_HASH_SEPARATOR = "%~"
_HASH_SUFFIX_BYTES = len(_HASH_SEPARATOR) + 64
_HASH_SUFFIX = re.compile(_HASH_SEPARATOR + "[0-9a-f]{64}$")
# A character has at most four bytes in UTF-8, so truncation at a character boundary drops up to three bytes more.
_MAX_DROPPED_BYTES = 3


def shorten(name: str, limit: int) -> str:
    """Return the stored form of a name, which is the name itself unless it has over `limit` bytes in UTF-8.

    A longer name is truncated and followed by `%~` and its SHA-256. A name that looks like a shortened one is shortened
    too, so that no two names share a stored form.
    """
    # A cheap check first: a character has at most four bytes in UTF-8.
    if len(name) * 4 <= limit - _MAX_DROPPED_BYTES:
        return name
    octets = name.encode()
    if len(octets) <= limit and not is_shortened(name, limit):
        return name
    return f"{_head(octets, limit - _HASH_SUFFIX_BYTES)}{_HASH_SEPARATOR}{sha256(octets).hexdigest()}"


def shorten_each(names: Sequence[str], limit: int) -> Sequence[str]:
    """Call `shorten` for each name. If all names are short, this takes a tenth of the time."""
    if max(map(len, names), default=0) * 4 <= limit - _MAX_DROPPED_BYTES:
        return names
    return [shorten(name, limit) for name in names]


def is_shortened(stored: str, limit: int) -> bool:
    """Return whether the stored name is a shortened one, from which the original cannot be restored."""
    min_bytes = limit - _MAX_DROPPED_BYTES
    return len(stored) * 4 > min_bytes and len(stored.encode()) >= min_bytes and bool(_HASH_SUFFIX.search(stored))


def shorten_prefix(prefix: str, limit: int) -> str:
    """Return a prefix that the stored forms of all names with this prefix share."""
    return _head(prefix.encode(), limit - _HASH_SUFFIX_BYTES - _MAX_DROPPED_BYTES)


def _head(octets: bytes, size: int) -> str:
    return octets[:size].decode(errors="ignore")
