"""Stored names for backends that refuse some characters or lengths.

The strategies that hash or replace are those of stored format v1, so that existing data stays accessible. A name that
looks like a sanitized name is sanitized too, so that no two names share a stored name.
"""

import re
from abc import ABC, abstractmethod
from enum import Enum
from hashlib import sha256

__all__ = [
    "AlwaysHashStrategy",
    "EscapingStrategy",
    "HashExcessLengthStrategy",
    "HashFragmentMode",
    "HybridSanitizationStrategy",
    "PassthroughStrategy",
    "SanitizationStrategy",
]

_HASHED_PREFIX = "H_"
_SANITIZED_PREFIX = "S_"
_HASH_SEPARATOR = "%~"
_HASH_SUFFIX_BYTES = len(_HASH_SEPARATOR) + 64
_ESCAPES = re.compile(rb"%([0-9A-F]{2})")


class SanitizationStrategy(ABC):
    """Maps keys or collections to stored names. BaseStore applies it before each hook."""

    @abstractmethod
    def sanitize(self, value: str) -> str:
        """Return the stored name. It must be unique to the name."""

    def validate(self, value: str) -> None:  # noqa: B027 — most strategies accept every name
        """Raise InvalidKeyError for a name that cannot be stored."""

    def try_unsanitize(self, value: str) -> str | None:  # noqa: ARG002 — irreversible by default
        """Return the original name of a stored name, or None if it cannot be restored."""
        return None


class PassthroughStrategy(SanitizationStrategy):
    """Stores every name unchanged."""

    def sanitize(self, value: str) -> str:
        return value

    def try_unsanitize(self, value: str) -> str | None:
        return value


class AlwaysHashStrategy(SanitizationStrategy):
    """Stores the first `hash_length` hexadecimal digits (8 to 64) of the name's SHA-256."""

    def __init__(self, hash_length: int = 64) -> None:
        _check_range("hash_length", hash_length, 8, 64)
        self.hash_length = hash_length

    def sanitize(self, value: str) -> str:
        return _digest(value)[: self.hash_length]


class HashExcessLengthStrategy(SanitizationStrategy):
    """Stores a name of over `max_length` characters as `H_` and its SHA-256, truncated to `max_length`."""

    def __init__(self, max_length: int = 240) -> None:
        _check_range("max_length", max_length, 10, None)
        self.max_length = max_length

    def sanitize(self, value: str) -> str:
        if len(value) <= self.max_length and not value.startswith(_HASHED_PREFIX):
            return value
        return (_HASHED_PREFIX + _digest(value))[: self.max_length]

    def try_unsanitize(self, value: str) -> str | None:
        return None if value.startswith(_HASHED_PREFIX) else value


class EscapingStrategy(SanitizationStrategy):
    """Escapes each UTF-8 byte of refused characters as `%XX`, and keeps the rest readable.

    `%` itself is escaped only where it could be read as an escape. A name of over `max_bytes` bytes is stored as its
    beginning, `%~` and its SHA-256 in hexadecimal digits. Only such names cannot be restored.
    """

    def __init__(self, refused: str, max_bytes: int) -> None:
        """`refused` is a regular expression that matches the characters to escape, such as `[/\\0]|^\\.`."""
        _check_range("max_bytes", max_bytes, _HASH_SUFFIX_BYTES + 1, None)
        self.max_bytes = max_bytes
        self._refused = re.compile(f"%(?=[0-9A-F]{{2}}|~)|{refused}")

    def sanitize(self, value: str) -> str:
        escaped = self._refused.sub(_escape, value)
        octets = escaped.encode()
        if len(octets) <= self.max_bytes:
            return escaped
        head = octets[: self.max_bytes - _HASH_SUFFIX_BYTES].decode(errors="ignore")
        return f"{head}{_HASH_SEPARATOR}{_digest(value)}"

    def try_unsanitize(self, value: str) -> str | None:
        try:
            name = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), value.encode()).decode()
        except UnicodeDecodeError:
            return None
        return name if self.sanitize(name) == value else None


def _escape(refused: "re.Match[str]") -> str:
    return "".join(f"%{byte:02X}" for byte in refused[0].encode())


class HashFragmentMode(Enum):
    """When a sanitized name gets a hash fragment that makes it unique."""

    ALWAYS = "always"
    ONLY_IF_CHANGED = "only_if_changed"
    NEVER = "never"
    """Caution: names that differ only in replaced characters then share an entry."""


class HybridSanitizationStrategy(SanitizationStrategy):
    """Keeps names readable: `S_{text}-{hash fragment}`, truncated to `max_length` characters.

    In `text`, each run of characters outside `allowed_characters` is replaced by one `replacement_character`.
    """

    def __init__(
        self,
        max_length: int = 240,
        allowed_characters: str | None = None,
        replacement_character: str = "_",
        hash_fragment_mode: HashFragmentMode = HashFragmentMode.ONLY_IF_CHANGED,
        hash_fragment_length: int = 8,
    ) -> None:
        _check_range("hash_fragment_length", hash_fragment_length, 1, 64)
        _check_range("max_length", max_length, len(_SANITIZED_PREFIX) + 1 + hash_fragment_length, None)
        self.max_length = max_length
        self.replacement_character = replacement_character
        self.hash_fragment_mode = hash_fragment_mode
        self.hash_fragment_length = hash_fragment_length
        self._refused = None if allowed_characters is None else re.compile(f"[^{re.escape(allowed_characters)}]+")

    def sanitize(self, value: str) -> str:
        text = value if self._refused is None else self._refused.sub(self.replacement_character, value)
        reserved = value.startswith((_HASHED_PREFIX, _SANITIZED_PREFIX))
        changed = text != value or len(value) > self.max_length or reserved
        if not changed and self.hash_fragment_mode is not HashFragmentMode.ALWAYS:
            return value
        if self._refused is not None and self._refused.fullmatch(value):
            text = ""
        fragment = ""
        if self.hash_fragment_mode is not HashFragmentMode.NEVER:
            fragment = "-" + _digest(value)[: self.hash_fragment_length]
        return _SANITIZED_PREFIX + text[: self.max_length - len(_SANITIZED_PREFIX) - len(fragment)] + fragment

    def try_unsanitize(self, value: str) -> str | None:
        return None if value.startswith((_HASHED_PREFIX, _SANITIZED_PREFIX)) else value


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _check_range(parameter: str, number: int, minimum: int, maximum: int | None) -> None:
    if number < minimum or (maximum is not None and number > maximum):
        allowed = f"at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"
        message = f"{parameter} must be {allowed}, not {number}"
        raise ValueError(message)
