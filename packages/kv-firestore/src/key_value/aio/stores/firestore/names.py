"""Names of keys and collections as the ids of documents and collections."""

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

# What follows it says what it stands for. `%` alone would escape keys that hold URLs, which have had these ids before.
_MARK = "%~"
_ITSELF, _SLASH, _DIGEST = f"{_MARK}~", f"{_MARK}1", f"{_MARK}#"
_ESCAPES = re.compile(f"{_MARK}(.?)", re.DOTALL)
_HASHED = re.compile(f"{_DIGEST}[0-9a-f]{{64}}\\Z")
_HEAD_BYTES = _MAX_BYTES - len(_DIGEST) - 64
_LONGEST_CHARACTER = 4

PROBE = f"{_MARK}probe"
"""The id of a document that no entry has."""


def is_id(text: str) -> bool:
    """Whether Firestore takes it as the id of a document or a collection."""
    return 0 < len(text.encode()) <= _MAX_BYTES and "/" not in text and not _RESERVED.match(text)


class Names(NamedTuple):
    """The ids of entries. A name that is an id is its own, unless it holds the mark.

    Ids that a V1 strategy has made of keys or collections are taken as they are.
    """

    escapes_collections: bool
    escapes_keys: bool

    def collection(self, name: str) -> str:
        """The id of a collection. No two collections share one."""
        return _escaped(name) if self.escapes_collections else name

    def key(self, name: str) -> str:
        """The id of a key in its collection. No two keys share one."""
        return _escaped(name) if self.escapes_keys else name

    def collection_behind(self, collection_id: str) -> str | None:
        """The collection of an id; None where the id does not tell, because it is shortened or another's."""
        return _original(collection_id) if self.escapes_collections else collection_id

    def key_behind(self, key_id: str) -> str | None:
        """The key of an id; None where the id does not tell, because it is shortened or another's."""
        return _original(key_id) if self.escapes_keys else key_id

    def key_prefix(self, prefix: str) -> str:
        """What the ids of all keys with this prefix begin with; others may too."""
        if not self.escapes_keys:
            return ""
        # Whether what begins like this is reserved, its end tells.
        if prefix in (".", "..", "_") or prefix.startswith("__"):
            return ""
        octets = _marked(prefix).encode()
        if len(octets) <= _HEAD_BYTES - _LONGEST_CHARACTER:
            return octets.decode()
        return octets[: _HEAD_BYTES - _LONGEST_CHARACTER].decode(errors="ignore")


def _escaped(name: str) -> str:
    if len(name) * _LONGEST_CHARACTER <= _MAX_BYTES and "/" not in name and _MARK not in name and name[0] not in "._":
        return name
    marked = _marked(name)
    if _RESERVED.match(marked):
        marked = _MARK + marked
    octets = marked.encode()
    if len(octets) <= _MAX_BYTES:
        return marked
    return f"{octets[:_HEAD_BYTES].decode(errors='ignore')}{_DIGEST}{sha256(name.encode()).hexdigest()}"


def _marked(name: str) -> str:
    return name.replace(_MARK, _ITSELF).replace("/", _SLASH)


def _original(stored: str) -> str | None:
    if _MARK not in stored:
        return stored
    if _HASHED.search(stored):
        return None
    text = stored.removeprefix(_MARK) if _RESERVED.match(stored.removeprefix(_MARK)) else stored
    name = _ESCAPES.sub(lambda found: {"~": _MARK, "1": "/"}.get(found[1], found[0]), text)
    return name if name and _escaped(name) == stored else None


class _V1Strategy(SanitizationStrategy):
    """Names as earlier versions stored them with a strategy of this name.

    A name of over 1500 bytes is stored as `H_` and its SHA-256; one that is no id as `S_`, the name with `_` for each
    slash, and its SHA-256. Neither can be listed.
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
    """Names keys as earlier versions did, for applications that used this strategy."""


class FirestoreV1CollectionSanitizationStrategy(_V1Strategy):
    """Names collections as earlier versions did, for applications that used this strategy."""
