"""Names that PostgreSQL can store and index: without NUL, and within the size limit of an index."""

from hashlib import sha256

__all__ = ["is_shortened", "original_name", "stored_collection", "stored_key", "stored_prefix"]

# A Unicode noncharacter, used as the escape character.
_ESCAPE = "\uffff"
_ESCAPED_NUL, _ESCAPED_ESCAPE, _DIGEST = f"{_ESCAPE}0", f"{_ESCAPE}1", f"{_ESCAPE}#"

# A B-tree row has at most 2704 bytes: https://www.postgresql.org/docs/current/btree.html
_MAX_KEY_BYTES, _MAX_COLLECTION_BYTES = 2000, 600
_HEAD_BYTES = 400
_MAX_CHARACTER_BYTES = 4


def stored_key(key: str) -> str:
    """Return the name of a key in the table, unique to this key."""
    if key.isascii() and len(key) <= _MAX_KEY_BYTES and "\0" not in key:
        return key
    return _shortened(_escaped(key), _MAX_KEY_BYTES)


def stored_collection(collection: str) -> str:
    """Return the name of a collection in the table, unique to this collection."""
    if collection.isascii() and len(collection) <= _MAX_COLLECTION_BYTES and "\0" not in collection:
        return collection
    return _shortened(_escaped(collection), _MAX_COLLECTION_BYTES)


def stored_prefix(prefix: str) -> str:
    """Return a prefix of the stored names of all keys with this prefix. If it is long, other names may share it."""
    stored = _escaped(prefix)
    limit = _HEAD_BYTES - _MAX_CHARACTER_BYTES
    return stored if len(stored.encode()) <= limit else _head(stored, limit)


def is_shortened(stored: str) -> bool:
    """Whether a stored name ends in a digest, so that the original name cannot be derived from it."""
    return _DIGEST in stored


def original_name(stored: str) -> str:
    """Return the original of a stored name that is not shortened."""
    return stored.replace(_ESCAPED_NUL, "\0").replace(_ESCAPED_ESCAPE, _ESCAPE) if _ESCAPE in stored else stored


def _escaped(name: str) -> str:
    return name.replace(_ESCAPE, _ESCAPED_ESCAPE).replace("\0", _ESCAPED_NUL)


def _shortened(stored: str, limit: int) -> str:
    octets = stored.encode()
    if len(octets) <= limit:
        return stored
    return f"{_head(stored, _HEAD_BYTES)}{_DIGEST}{sha256(octets).hexdigest()}"


def _head(stored: str, limit: int) -> str:
    """Truncate to `limit` bytes, without a partial character or escape sequence at the end."""
    return stored.encode()[:limit].decode(errors="ignore").removesuffix(_ESCAPE)
