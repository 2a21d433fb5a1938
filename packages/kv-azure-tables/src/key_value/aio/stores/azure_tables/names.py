"""Escaping of names that Azure rejects, and ranges of row keys with a prefix."""

import re
from hashlib import sha256

from key_value.aio.core.sanitization import SanitizationStrategy

__all__ = ["AzureTablesSanitizationStrategy", "range_of", "restored_name", "stored_name"]

# Azure limits keys to 1 KiB of UTF-16.
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
_MAX_UNITS = 512
_INVALID = r"[/\\#?\x00-\x1f\x7f-\x9f]"

# Not % or ~: in transactions, Azure has decoded them twice, or rejected the signature:
# https://github.com/Azure/azure-sdk-for-php/issues/472, https://github.com/Azure/azure-storage-python/issues/76
_ESCAPE_PREFIX, _HASH_SEPARATOR = "!^", "!^^"
_ESCAPED = re.compile(rf"!(?=\^)|{_INVALID}")
_ESCAPES = re.compile(rb"!\^([0-9A-F]{2})")
_HEAD_UNITS = _MAX_UNITS - len(_HASH_SEPARATOR) - 64
# Limits the URL of a query: a unit takes up to nine characters, and the URL contains both ends of the range, the
# partition and the continuation. A Node.js server rejects more than 16 KiB of URL and headers.
_RANGE_UNITS = 256
# Azure compares UTF-16 units, whose order equals that of code points up to here.
_LAST_ORDERED_CHARACTER = "\ud7fe"


class AzureTablesSanitizationStrategy(SanitizationStrategy):
    """Stores a name with invalid characters, or with over 256 characters, as `H_` and its SHA-256."""

    _MAX_CHARACTERS = 256

    def sanitize(self, value: str) -> str:
        if len(value) <= self._MAX_CHARACTERS and not re.search(_INVALID, value) and not value.startswith("H_"):
            return value
        return f"H_{_digest(value)}"

    def try_unsanitize(self, value: str) -> str | None:
        return None if value.startswith("H_") else value


def stored_name(name: str) -> str:
    """Return the name, escaped if Azure rejects it or it looks escaped, and hashed if it is too long."""
    escaped = _ESCAPED.sub(_escape, name)
    head = _truncated(escaped, _MAX_UNITS)
    return escaped if head == escaped else f"{_truncated(escaped, _HEAD_UNITS)}{_HASH_SEPARATOR}{_digest(name)}"


def restored_name(stored: str) -> str | None:
    """Return the original name; None if it is hashed or was not written by a store."""
    try:
        name = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), stored.encode()).decode()
    except UnicodeDecodeError:
        return None
    return name if stored_name(name) == stored else None


def range_of(prefix: str) -> tuple[str, str | None]:
    """Return the lower bound, and the exclusive upper bound, of the row keys of keys with the prefix."""
    # Whether an exclamation mark is escaped depends on the next character.
    begin = _truncated(_ESCAPED.sub(_escape, prefix.removesuffix("!")), _RANGE_UNITS)
    while begin and begin[-1] > _LAST_ORDERED_CHARACTER:
        begin = begin[:-1]
    return begin, begin[:-1] + chr(ord(begin[-1]) + 1) if begin else None


def _escape(found: "re.Match[str]") -> str:
    return "".join(f"{_ESCAPE_PREFIX}{byte:02X}" for byte in found[0].encode())


def _truncated(text: str, units: int) -> str:
    """Truncate the text to this many UTF-16 units."""
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", errors="ignore")


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()
