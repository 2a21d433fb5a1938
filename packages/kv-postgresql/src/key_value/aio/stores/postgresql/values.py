"""Values as JSONB holds them: what PostgreSQL would change or refuse is written so that it comes back as it was."""

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

# Where a number may have a positive exponent, at 0.7 ns a byte; most texts have no such place.
_DIGITS_AS_ZEROS = bytes(
    ord("0") if byte in b"0123456789" else ord("e") if byte in b"eE" else byte for byte in range(256)
)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_STRING_OR_NUMBER = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]+|-0\.0(?![0-9])')

# JSONB has no negative zero. This is nearer to zero than any float, and so read as one, with its sign.
_NEGATIVE_ZERO = "-1e-400"


def jsonb_texts(values: Sequence[EncodedValue]) -> list[str]:
    """JSON texts that a JSONB column keeps so that `load_value` gives the same values.

    A JSONB number has no exponent: 1e22 would come back as an integer, and is written out with its fraction, `.0`. A
    text in JSONB has no U+0000: a value with one is stored as a JSON string that holds it.
    """
    octets = [value.encode() if isinstance(value, str) else value for value in values]
    # No encoded value holds a line feed. To look at a hundred at once takes a tenth of the time.
    joined = b"\n".join(octets)
    if not _may_change(joined):
        return joined.decode().split("\n")
    return [_jsonb_text(each) if _may_change(each) else each.decode() for each in octets]


def _jsonb_text(octets: bytes) -> str:
    if _NUL.search(octets):
        return quoted(octets.decode())
    return _STRING_OR_NUMBER.sub(_written_out, octets.decode())


def _may_change(octets: bytes) -> bool:
    """Whether there may be something that JSONB refuses or changes."""
    if b"\\u0000" in octets or b"-0.0" in octets:
        return True
    shown = octets.translate(_DIGITS_AS_ZEROS)
    return b"0e0" in shown or b"0e+0" in shown


def quoted(text: str) -> str:
    """A JSON string that holds the text."""
    return json.dumps(text, ensure_ascii=False)


def load_value(text: str, what: str) -> dict[str, Any]:
    """The value that a JSONB column holds. Raises DeserializationError, with `what` as the subject of its message."""
    return load_object(json.loads(text) if text.startswith('"') else text, what)


def load_named(text: str, what: str) -> ManagedEntry:
    """The entry with its names, as it is stored where the table has shortened ones. Raises DeserializationError."""
    if not text.startswith('"'):
        message = f"{what} has no names beside its value"
        raise DeserializationError(message)
    return load_entry(json.loads(text))


def _written_out(match: "re.Match[str]") -> str:
    text = match[0]
    if text.startswith('"'):
        return text
    return _NEGATIVE_ZERO if text == "-0.0" else f"{Decimal(text):f}.0"
