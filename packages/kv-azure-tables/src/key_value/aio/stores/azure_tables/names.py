"""Names that Azure refuses, and what a range of row keys with one beginning is."""

import re
from hashlib import sha256

from key_value.aio.core.sanitization import SanitizationStrategy

__all__ = ["AzureTablesSanitizationStrategy", "range_of", "restored_name", "stored_name"]

# 1 KiB of UTF-16.
# https://learn.microsoft.com/rest/api/storageservices/understanding-the-table-service-data-model
_MAX_UNITS = 512
_REFUSED = r"[/\\#?\x00-\x1f\x7f-\x9f]"

# Neither % nor ~, which Azure has decoded twice in transactions and taken for a wrong signature:
# https://github.com/Azure/azure-sdk-for-php/issues/472, https://github.com/Azure/azure-storage-python/issues/76
_MARK, _HASH_MARK = "!^", "!^^"
_ESCAPED = re.compile(rf"!(?=\^)|{_REFUSED}")
_ESCAPES = re.compile(rb"!\^([0-9A-F]{2})")
_HEAD_UNITS = _MAX_UNITS - len(_HASH_MARK) - 64
# A name takes nine characters of the URL for a unit, and a query has this twice, the name of the partition, and where
# to go on. A server of Node.js refuses over 16 KiB of URL and headers.
_RANGE_UNITS = 256
# Where the order of UTF-16, in which Azure compares, is that of code points.
_LAST_ORDERED = "\ud7fe"


class AzureTablesSanitizationStrategy(SanitizationStrategy):
    """Stores a name with a character that Azure refuses, or of over 256 characters, as `H_` and its SHA-256."""

    _MAX_CHARACTERS = 256

    def sanitize(self, value: str) -> str:
        if len(value) <= self._MAX_CHARACTERS and not re.search(_REFUSED, value) and not value.startswith("H_"):
            return value
        return f"H_{_digest(value)}"

    def try_unsanitize(self, value: str) -> str | None:
        return None if value.startswith("H_") else value


def stored_name(name: str) -> str:
    """The name itself wherever Azure takes it, unless it could be read as one that is escaped."""
    escaped = _ESCAPED.sub(_escape, name)
    head = _cut(escaped, _MAX_UNITS)
    return escaped if head == escaped else f"{_cut(escaped, _HEAD_UNITS)}{_HASH_MARK}{_digest(name)}"


def restored_name(stored: str) -> str | None:
    """The name behind it; None where a digest hides it."""
    try:
        name = _ESCAPES.sub(lambda escape: bytes.fromhex(escape[1].decode()), stored.encode()).decode()
    except UnicodeDecodeError:
        return None
    return name if stored_name(name) == stored else None


def range_of(prefix: str) -> tuple[str, str | None]:
    """What row keys of keys with the prefix begin with, and the first text behind all of them."""
    # An exclamation mark is escaped or not by what comes behind it.
    begin = _cut(_ESCAPED.sub(_escape, prefix.removesuffix("!")), _RANGE_UNITS)
    while begin and begin[-1] > _LAST_ORDERED:
        begin = begin[:-1]
    return begin, begin[:-1] + chr(ord(begin[-1]) + 1) if begin else None


def _escape(found: "re.Match[str]") -> str:
    return "".join(f"{_MARK}{byte:02X}" for byte in found[0].encode())


def _cut(text: str, units: int) -> str:
    """As much of it as has so many units of UTF-16."""
    return text.encode("utf-16-le")[: 2 * units].decode("utf-16-le", errors="ignore")


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()
