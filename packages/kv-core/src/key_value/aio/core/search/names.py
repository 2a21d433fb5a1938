"""Index names, document ids, and key and collection names in document fields."""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256

from key_value.aio.core.sanitization import AlwaysHashStrategy, HashFragmentMode, HybridSanitizationStrategy
from key_value.aio.core.shortening import is_shortened, shorten, shorten_each

__all__ = [
    "V1CollectionStrategy",
    "V1KeyStrategy",
    "checked_index_prefix",
    "document_id",
    "document_ids",
    "field_name",
    "field_prefix",
    "index_name",
    "is_field",
    "is_shortened_field",
]

# https://docs.opensearch.org/latest/api-reference/index-apis/create-index/#index-naming-restrictions
_MAX_INDEX_BYTES = 255
_MAX_PREFIX_BYTES = 100
_MAX_ID_BYTES = 512
# A Lucene term has at most 32766 bytes.
_MAX_FIELD_BYTES = 32_000
# OpenSearch 2.19 rejects longer range bounds as "too large an automaton".
_MAX_BOUND_BYTES = 500

_HASH_SEPARATOR = "%~"
_HASH_SUFFIX_BYTES = len(_HASH_SEPARATOR) + 64

# A percent sign that could be read as an escape, and characters that index names must not contain. Upper case is
# checked separately, except letters whose lower case only newer Python versions know: names must not depend on the
# Python version.
_REFUSED = re.compile(
    r'%(?=[0-9a-f]{2}|~)|[\\/*?"<>| ,#:\x00-\x1f\x7f]'
    "|[\u1c89\u2c2f\ua7c0\ua7cb-\ua7dc\U00010570-\U00010595\U00010d50-\U00010d65\U00016ea0-\U00016eb8]"
)
_PREFIX = re.compile(r'[^-_+.\\/*?"<>| ,#:%\x00-\x1f\x7f][^\\/*?"<>| ,#:%\x00-\x1f\x7f]*')
_ALLOWED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


class V1KeyStrategy(AlwaysHashStrategy):
    """Uses the SHA-256 of a key as the document id."""

    def __init__(self) -> None:
        super().__init__(64)


class V1CollectionStrategy(HybridSanitizationStrategy):
    """Keeps letters, digits, `_`, `.` and `-` of a collection in the index name and adds 8 digits of its SHA-256."""

    def __init__(self) -> None:
        super().__init__(200, _ALLOWED, hash_fragment_mode=HashFragmentMode.ALWAYS)


def checked_index_prefix(prefix: str) -> str:
    """Return the prefix in lower case, as in earlier versions. Raises ValueError for an invalid prefix."""
    lowered = prefix.lower()
    if not _PREFIX.fullmatch(lowered) or lowered != _escaped(lowered) or len(lowered.encode()) > _MAX_PREFIX_BYTES:
        message = (
            f"index_prefix must be 1 to {_MAX_PREFIX_BYTES} bytes long and valid at the beginning of an index name, "
            f"not {prefix!r:.120}"
        )
        raise ValueError(message)
    return lowered


@lru_cache(maxsize=1024)
def index_name(prefix: str, collection: str) -> str:
    """Return `prefix-collection`, with each byte of characters not allowed in an index name, such as upper-case
    letters, escaped as `%xx`.

    A name that is too long is truncated and followed by `%~` and the SHA-256 of the collection.
    """
    max_bytes = _MAX_INDEX_BYTES - len(f"{prefix}-".encode())
    escaped = _escaped(collection)
    octets = escaped.encode()
    if len(octets) > max_bytes:
        escaped = octets[: max_bytes - _HASH_SUFFIX_BYTES].decode(errors="ignore")
        escaped = f"{escaped}{_HASH_SEPARATOR}{sha256(collection.encode()).hexdigest()}"
    return f"{prefix}-{escaped}"


def _escaped(name: str) -> str:
    escaped = _REFUSED.sub(lambda found: _escape(found[0]), name)
    if escaped == escaped.lower():
        return escaped
    return "".join(each if each == each.lower() else _escape(each) for each in escaped)


def _escape(text: str) -> str:
    return "".join(f"%{octet:02x}" for octet in text.encode())


def document_id(key: str) -> str:
    return shorten(key, _MAX_ID_BYTES)


def document_ids(keys: Sequence[str]) -> Sequence[str]:
    """Return `document_id` for each key."""
    return shorten_each(keys, _MAX_ID_BYTES)


def field_name(name: str) -> str:
    """Return a key or collection as stored in its field, which is used for searching and sorting."""
    return shorten(name, _MAX_FIELD_BYTES)


def field_prefix(prefix: str) -> str:
    """Return a range bound that the stored fields of all names with this prefix begin with."""
    return prefix.encode()[:_MAX_BOUND_BYTES].decode(errors="ignore")


def is_field(stored: str) -> bool:
    """Return whether the text can be the field of a name. Raises ValueError if it does not encode to UTF-8."""
    return 0 < len(stored.encode()) <= _MAX_FIELD_BYTES


def is_shortened_field(stored: str) -> bool:
    """Return whether the field holds a shortened name."""
    return is_shortened(stored, _MAX_FIELD_BYTES)
