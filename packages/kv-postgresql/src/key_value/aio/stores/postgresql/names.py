"""Names as PostgreSQL can hold and index them: without NUL, and no longer than an index takes."""

from hashlib import sha256

__all__ = ["is_shortened", "original_name", "stored_collection", "stored_key", "stored_prefix"]

# A noncharacter, which Unicode gives to no text. What follows it says what it stands for.
_MARK = "\uffff"
_NUL, _ITSELF, _DIGEST = f"{_MARK}0", f"{_MARK}1", f"{_MARK}#"

# A row of a B-tree has at most 2704 bytes: https://www.postgresql.org/docs/current/btree.html
_MAX_KEY_BYTES, _MAX_COLLECTION_BYTES = 2000, 600
_HEAD_BYTES = 400
_LONGEST_CHARACTER = 4


def stored_key(key: str) -> str:
    """The name of a key in the table. No two keys share one."""
    if key.isascii() and len(key) <= _MAX_KEY_BYTES and "\0" not in key:
        return key
    return _shortened(_escaped(key), _MAX_KEY_BYTES)


def stored_collection(collection: str) -> str:
    """The name of a collection in the table. No two collections share one."""
    if collection.isascii() and len(collection) <= _MAX_COLLECTION_BYTES and "\0" not in collection:
        return collection
    return _shortened(_escaped(collection), _MAX_COLLECTION_BYTES)


def stored_prefix(prefix: str) -> str:
    """What the stored names of all keys with this prefix begin with; others may too when the prefix is long."""
    stored = _escaped(prefix)
    limit = _HEAD_BYTES - _LONGEST_CHARACTER
    return stored if len(stored.encode()) <= limit else _head(stored, limit)


def is_shortened(stored: str) -> bool:
    """Whether a stored name ends in a digest, and does not tell the name behind it."""
    return _DIGEST in stored


def original_name(stored: str) -> str:
    """The name behind a stored one that is not shortened."""
    return stored.replace(_NUL, "\0").replace(_ITSELF, _MARK) if _MARK in stored else stored


def _escaped(name: str) -> str:
    return name.replace(_MARK, _ITSELF).replace("\0", _NUL)


def _shortened(stored: str, limit: int) -> str:
    octets = stored.encode()
    if len(octets) <= limit:
        return stored
    return f"{_head(stored, _HEAD_BYTES)}{_DIGEST}{sha256(octets).hexdigest()}"


def _head(stored: str, limit: int) -> str:
    """As many whole characters as fit, and no half of an escape."""
    return stored.encode()[:limit].decode(errors="ignore").removesuffix(_MARK)
