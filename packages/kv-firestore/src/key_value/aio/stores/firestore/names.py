"""Document and collection ids for keys and collections."""

import re
from hashlib import sha256
from typing import NamedTuple

from key_value.aio.core.sanitization import SanitizationStrategy

__all__ = [
    "PROBE",
    "FirestoreV1CollectionSanitizationStrategy",
    "FirestoreV1KeySanitizationStrategy",
    "Names",
    "is_id",
]

# https://firebase.google.com/docs/firestore/quotas#collections_documents_and_fields
_MAX_BYTES = 1500
_RESERVED = re.compile(r"\.{1,2}\Z|__.*__\Z", re.DOTALL)

# The prefix of escapes. A plain `%` would change the ids of keys that contain URLs, which are stored unescaped already.
_ESCAPE_PREFIX = "%~"
_ESCAPED_PREFIX, _ESCAPED_SLASH, _DIGEST_PREFIX = f"{_ESCAPE_PREFIX}~", f"{_ESCAPE_PREFIX}1", f"{_ESCAPE_PREFIX}#"
_ESCAPES = re.compile(f"{_ESCAPE_PREFIX}(.?)", re.DOTALL)
_HASHED = re.compile(f"{_DIGEST_PREFIX}[0-9a-f]{{64}}\\Z")
_HEAD_BYTES = _MAX_BYTES - len(_DIGEST_PREFIX) - 64
_MAX_CHARACTER_BYTES = 4

PROBE = f"{_ESCAPE_PREFIX}probe"
"""A document id that no entry can have."""


def is_id(text: str) -> bool:
    """Whether the text is a valid document or collection id."""
    return 0 < len(text.encode()) <= _MAX_BYTES and "/" not in text and not _RESERVED.match(text)


class Names(NamedTuple):
    """The mapping from names to ids. A name that is a valid id is stored as is, unless it contains the escape prefix.

    Ids that a V1 strategy returned for keys or collections are not escaped.
    """

    escapes_collections: bool
    escapes_keys: bool

    def collection(self, name: str) -> str:
        """Return the unique id of a collection."""
        return _escaped(name) if self.escapes_collections else name

    def key(self, name: str) -> str:
        """Return the unique id of a key in its collection."""
        return _escaped(name) if self.escapes_keys else name

    def original_collection(self, collection_id: str) -> str | None:
        """Return the collection of an id; None if the id is hashed, or was not written by a store."""
        return _original(collection_id) if self.escapes_collections else collection_id

    def original_key(self, key_id: str) -> str | None:
        """Return the key of an id; None if the id is hashed, or was not written by a store."""
        return _original(key_id) if self.escapes_keys else key_id

    def key_prefix(self, prefix: str) -> str:
        """Return a prefix of the ids of all keys with this prefix. Ids of other keys may have it too."""
        if not self.escapes_keys:
            return ""
        # Whether such a name is reserved, and so escaped, depends on its end.
        if prefix in (".", "..", "_") or prefix.startswith("__"):
            return ""
        octets = _escape_characters(prefix).encode()
        if len(octets) <= _HEAD_BYTES - _MAX_CHARACTER_BYTES:
            return octets.decode()
        return octets[: _HEAD_BYTES - _MAX_CHARACTER_BYTES].decode(errors="ignore")


def _escaped(name: str) -> str:
    fits = len(name) * _MAX_CHARACTER_BYTES <= _MAX_BYTES
    if fits and "/" not in name and _ESCAPE_PREFIX not in name and name[0] not in "._":
        return name
    escaped = _escape_characters(name)
    if _RESERVED.match(escaped):
        escaped = _ESCAPE_PREFIX + escaped
    octets = escaped.encode()
    if len(octets) <= _MAX_BYTES:
        return escaped
    return f"{octets[:_HEAD_BYTES].decode(errors='ignore')}{_DIGEST_PREFIX}{sha256(name.encode()).hexdigest()}"


def _escape_characters(name: str) -> str:
    return name.replace(_ESCAPE_PREFIX, _ESCAPED_PREFIX).replace("/", _ESCAPED_SLASH)


def _original(stored: str) -> str | None:
    if _ESCAPE_PREFIX not in stored:
        return stored
    if _HASHED.search(stored):
        return None
    text = stored.removeprefix(_ESCAPE_PREFIX) if _RESERVED.match(stored.removeprefix(_ESCAPE_PREFIX)) else stored
    name = _ESCAPES.sub(lambda found: {"~": _ESCAPE_PREFIX, "1": "/"}.get(found[1], found[0]), text)
    return name if name and _escaped(name) == stored else None


class _V1Strategy(SanitizationStrategy):
    """Stores names like earlier versions with the strategy of the same name.

    A name of over 1500 bytes is stored as `H_` and its SHA-256. Any other name that is not a valid id is stored as
    `S_`, the name with `_` for each slash, and its SHA-256. Neither can be listed.
    """

    def sanitize(self, value: str) -> str:
        octets = value.encode()
        digest = sha256(octets).hexdigest()
        if len(octets) > _MAX_BYTES:
            return f"H_{digest}"
        if is_id(value) and not value.startswith(("H_", "S_")):
            return value
        room = _MAX_BYTES - len(f"S_-{digest}")
        text = value.replace("/", "_").encode()[:room].decode(errors="ignore")
        return f"S_{text}-{digest}"

    def try_unsanitize(self, value: str) -> str | None:
        return None if value.startswith(("H_", "S_")) else value


class FirestoreV1KeySanitizationStrategy(_V1Strategy):
    """Names keys like earlier versions, for applications that used this strategy."""


class FirestoreV1CollectionSanitizationStrategy(_V1Strategy):
    """Names collections like earlier versions, for applications that used this strategy."""
