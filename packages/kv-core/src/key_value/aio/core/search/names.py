"""The names of indices, the ids of documents, and the names in their fields."""

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
# A term of Lucene has 32766 bytes.
_MAX_FIELD_BYTES = 32_000
# A longer bound of a range is "too large an automaton", for OpenSearch 2.19.
_MAX_BOUND_BYTES = 500

_MARK = "%~"
_TAIL_BYTES = len(_MARK) + 64

# A percent sign that could be read as an escape, and what the name of an index must not have. Upper case is looked for
# apart, but for letters that only newer versions of Python know to have a lower case: names must not depend on that.
_REFUSED = re.compile(
    r'%(?=[0-9a-f]{2}|~)|[\\/*?"<>| ,#:\x00-\x1f\x7f]'
    "|[\u1c89\u2c2f\ua7c0\ua7cb-\ua7dc\U00010570-\U00010595\U00010d50-\U00010d65\U00016ea0-\U00016eb8]"
)
_PREFIX = re.compile(r'[^-_+.\\/*?"<>| ,#:%\x00-\x1f\x7f][^\\/*?"<>| ,#:%\x00-\x1f\x7f]*')
_ALLOWED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-"


class V1KeyStrategy(AlwaysHashStrategy):
    """The id of a document is the SHA-256 of its key."""

    def __init__(self) -> None:
        super().__init__(64)


class V1CollectionStrategy(HybridSanitizationStrategy):
    """The name of an index has letters, digits, `_`, `.` and `-` of the collection, and 8 digits of its SHA-256."""

    def __init__(self) -> None:
        super().__init__(200, _ALLOWED, hash_fragment_mode=HashFragmentMode.ALWAYS)


def checked_index_prefix(prefix: str) -> str:
    """The prefix in lower case, as earlier versions had it. Raises ValueError."""
    lowered = prefix.lower()
    if not _PREFIX.fullmatch(lowered) or lowered != _escaped(lowered) or len(lowered.encode()) > _MAX_PREFIX_BYTES:
        message = (
            f"index_prefix must have 1 to {_MAX_PREFIX_BYTES} bytes that the name of an index may begin with, "
            f"not {prefix!r:.120}"
        )
        raise ValueError(message)
    return lowered


@lru_cache(maxsize=1024)
def index_name(prefix: str, collection: str) -> str:
    """`prefix-collection`, with `%xx` for each byte of what the name of an index must not have, such as upper case.

    One that does not fit is cut, and ends in a mark and the SHA-256 of the collection.
    """
    room = _MAX_INDEX_BYTES - len(f"{prefix}-".encode())
    escaped = _escaped(collection)
    octets = escaped.encode()
    if len(octets) > room:
        escaped = octets[: room - _TAIL_BYTES].decode(errors="ignore")
        escaped = f"{escaped}{_MARK}{sha256(collection.encode()).hexdigest()}"
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
    """`document_id` of each."""
    return shorten_each(keys, _MAX_ID_BYTES)


def field_name(name: str) -> str:
    """How a key or a collection stands in its field, by which it is looked for and sorted."""
    return shorten(name, _MAX_FIELD_BYTES)


def field_prefix(prefix: str) -> str:
    """What a range can be asked for of the fields of all names that begin with the prefix."""
    return prefix.encode()[:_MAX_BOUND_BYTES].decode(errors="ignore")


def is_field(stored: str) -> bool:
    """Whether a name may stand like this in its field. Raises ValueError for a text that no name can be."""
    return 0 < len(stored.encode()) <= _MAX_FIELD_BYTES


def is_shortened_field(stored: str) -> bool:
    """Whether the field does not tell the whole name."""
    return is_shortened(stored, _MAX_FIELD_BYTES)
