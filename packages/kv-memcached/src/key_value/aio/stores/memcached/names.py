"""The names that Memcached takes: at most 250 bytes, without whitespace and control characters."""

import re
from collections.abc import Sequence

from key_value.aio.core.names import collection_prefix
from key_value.aio.core.sanitization import EscapingStrategy, HashExcessLengthStrategy, SanitizationStrategy

__all__ = ["MAX_NAME_BYTES", "MemcachedV1KeySanitizationStrategy", "stored_names"]

MAX_NAME_BYTES = 250

# What a joined name never begins with.
_MAPPED = ":::"
# What aiomcache refuses, so that names of earlier versions stay as they are, those with per cent signs included.
_REFUSED = r"\s\0-\x1f\x7f-\x9f"
_TAKEN = re.compile(f"[^{_REFUSED}]+")
_ESCAPED = EscapingStrategy(f"[%{_REFUSED}]", MAX_NAME_BYTES - len(_MAPPED))


class MemcachedV1KeySanitizationStrategy(HashExcessLengthStrategy):
    """Stores a `collection::key` of over 240 characters as `H_` and its SHA-256, as earlier versions did with it."""

    def __init__(self) -> None:
        super().__init__(max_length=240)


def stored_names(collection: str, keys: Sequence[str], strategy: SanitizationStrategy | None = None) -> list[bytes]:
    """The names of entries: what `join_names` gives, or what the strategy makes of it, where Memcached takes that.

    Otherwise `:::` and the name with what is refused as `%XX`, or cut off and its SHA-256 added.
    """
    prefix = collection_prefix(collection)
    names = [prefix + key for key in keys]
    if strategy is not None:
        for name in names:
            strategy.validate(name)
        names = [strategy.sanitize(name) for name in names]
    return [name.encode() if _is_plain(name) and not name.startswith(_MAPPED) else _mapped(name) for name in names]


def _is_plain(name: str) -> bool:
    # A fifth of the time that a regular expression takes.
    return name.isascii() and name.isprintable() and " " not in name and len(name) <= MAX_NAME_BYTES


def _mapped(name: str) -> bytes:
    octets = name.encode()
    if len(octets) <= MAX_NAME_BYTES and not name.startswith(_MAPPED) and _TAKEN.fullmatch(name):
        return octets
    return (_MAPPED + _ESCAPED.sanitize(name)).encode()
