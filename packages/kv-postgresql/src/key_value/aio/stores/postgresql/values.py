"""Values as JSONB: encodes what PostgreSQL would change or reject so that it is read back unchanged."""

import json
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from key_value.aio.core.codec import EncodedValue, load_object
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import load_entry
from key_value.aio.errors import DeserializationError

__all__ = ["jsonb_texts", "load_named", "load_value", "quoted"]

# Finds candidates for a positive exponent at 0.7 ns per byte; most texts have none.
_DIGITS_AS_ZEROS = bytes(
    ord("0") if byte in b"0123456789" else ord("e") if byte in b"eE" else byte for byte in range(256)
)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]+|-0\.0(?![0-9])')

# JSONB has no negative zero. This number is too small for a float, so it is read as -0.0.
_NEGATIVE_ZERO = "-1e-400"


def jsonb_texts(values: Sequence[EncodedValue]) -> list[str]:
    """Return JSON texts for a JSONB column from which `load_value` restores the same values.

    A JSONB number has no exponent: 1e22 would be read back as an integer, so it is written in full with the fraction
    `.0`. A JSONB string has no U+0000: a value with one is stored as a JSON string that contains its JSON text.
    """
    octets = [value.encode() if isinstance(value, str) else value for value in values]
    # No encoded value contains a line feed. Checking a hundred at once takes a tenth of the time.
    joined = b"\n".join(octets)
    if not _may_change(joined):
        return joined.decode().split("\n")
    return [_jsonb_text(each) if _may_change(each) else each.decode() for each in octets]


def _jsonb_text(octets: bytes) -> str:
    if _NUL.search(octets):
        return quoted(octets.decode())
    return _STRING_OR_NUMBER.sub(_expanded_number, octets.decode())


def _may_change(octets: bytes) -> bool:
    """Whether the text may contain something that JSONB rejects or changes."""
    if b"\\u0000" in octets or b"-0.0" in octets:
        return True
    normalized = octets.translate(_DIGITS_AS_ZEROS)
    return b"0e0" in normalized or b"0e+0" in normalized


def quoted(text: str) -> str:
    """Return a JSON string that contains the text."""
    return json.dumps(text, ensure_ascii=False)


def load_value(text: str, what: str) -> dict[str, Any]:
    """Return the value in a JSONB column. Raises DeserializationError with `what` as the subject of its message."""
    return load_object(json.loads(text) if text.startswith('"') else text, what)


def load_named(text: str, what: str) -> ManagedEntry:
    """Return the entry of a row with shortened names, which also stores the full ones. Raises DeserializationError."""
    if not text.startswith('"'):
        message = f"{what} has a shortened name, but does not contain the full one"
        raise DeserializationError(message)
    return load_entry(json.loads(text))


def _expanded_number(match: "re.Match[str]") -> str:
    text = match[0]
    if text.startswith('"'):
        return text
    return _NEGATIVE_ZERO if text == "-0.0" else f"{Decimal(text):f}.0"
