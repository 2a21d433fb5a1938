"""JSON, in one call each way: values at the door of a store, entries where they are stored.

orjson does the work and is held to what JSON can carry. By itself it writes NaN as null, turns UUID and Enum into
strings, and reads integers over 64 bits as floats; so what it accepts is checked, and what it cannot do exactly the
standard library does. Where orjson is missing the standard library does everything.
"""

import json
import marshal
import re
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from key_value.aio.core.plain import plain_object
from key_value.aio.core.type_checks import require
from key_value.aio.errors import DeserializationError, SerializationError

if TYPE_CHECKING:
    from key_value.aio.core.entry import ManagedEntry

try:
    import orjson
except ImportError:  # no wheel for this platform, or one that does not load
    orjson = None

__all__ = ["EncodedValue", "decode_value", "dump_entry", "encode_value", "load_entry", "load_value"]

EncodedValue = bytes | str
"""The JSON text of a value: bytes when orjson reads it back exactly, str when only the standard library does."""

_VERSION = 1

_STRICT = (
    0
    if orjson is None
    else orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
)

# A float in marshal's format is "g", or "g" with the high bit set, and eight bytes, the exponent in the last two.
_POSITIVE, _NEGATIVE = 0x7F, 0xFF  # the last byte of one that is not finite
_MARSHALLED_NON_FINITE = re.compile(rb"[g\xe7].{6}[\xf0-\xff][\x7f\xff]", re.DOTALL)

# Runs of 19 digits may be integers over 64 bits. Looking for one this way takes 0.7 ns a byte, a regex 9 ns.
_DIGITS_AS_ZEROS = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
_LONG_RUN = b"0" * 19


def encode_value(value: Mapping[str, Any]) -> EncodedValue:
    """The JSON text of a value.

    Raises TypeError when it is not a mapping, SerializationError naming the path of what is not JSON.
    """
    if type(value) is not dict:
        require(value, Mapping, name="value", expected="a mapping with str keys")
        value = dict(value)
    value = cast("dict[str, Any]", value)
    if orjson is None:
        return _encode_exactly(value)
    try:
        encoded = orjson.dumps(value, None, _STRICT)
        # marshal refuses every type but the builtin ones: the UUID, Enum and Fragment that orjson lets pass. In C it
        # costs as much as the encoding; walking the value in Python costs five times that.
        marshalled = marshal.dumps(value)
    except (TypeError, ValueError):
        return _encode_exactly(value)
    # orjson writes NaN and the infinities as null. The first tests cost 1 µs for 50 KB, the second 25, the last 35.
    if (
        (_POSITIVE in marshalled or _NEGATIVE in marshalled)
        and b"null" in encoded
        and _MARSHALLED_NON_FINITE.search(marshalled)
    ):
        return _encode_exactly(value)
    return encoded


def _encode_exactly(value: dict[str, Any]) -> EncodedValue:
    plain = plain_object(value)
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as exc:
        message = "cannot serialize the value: it is nested too deeply or holds an integer of over 4300 digits"
        raise SerializationError(message) from exc
    return text


def decode_value(encoded: EncodedValue) -> dict[str, Any]:
    """What `encode_value` was given, with dicts, lists and leaves of its own."""
    if orjson is not None and type(encoded) is bytes:
        return orjson.loads(encoded)
    return json.loads(encoded)


def dump_entry(entry: "ManagedEntry", *, names: bool = True) -> bytes:
    """The entry in the stored format v1: one JSON object in UTF-8, with the names beside the value unless told not to.

    See docs/stored-format.md.
    """
    encoded = entry.encoded
    value = encoded if isinstance(encoded, bytes) else encoded.encode()
    fields = [b'{"version":%d' % _VERSION]
    if names and entry.collection is not None:
        fields.append(b'"collection":' + json.dumps(entry.collection).encode())
    if names and entry.key is not None:
        fields.append(b'"key":' + json.dumps(entry.key).encode())
    if entry.created_at is not None:
        fields.append(b'"created_at":"%b"' % entry.created_at.isoformat().encode())
    if entry.expires_at is not None:
        fields.append(b'"expires_at":"%b"' % entry.expires_at.isoformat().encode())
    fields.append(b'"value":%b}' % value)
    return b",".join(fields)


def load_entry(text: bytes | str) -> "ManagedEntry":
    """The entry from the stored format v1, however it was written. Raises DeserializationError."""
    from key_value.aio.core.entry import ManagedEntry

    envelope = _load_object(text, "the stored entry")
    version = envelope.get("version", _VERSION)
    if version != _VERSION:
        message = f"the stored entry has version {version!r:.40}; this library reads version {_VERSION}"
        raise DeserializationError(message)
    value = envelope.get("value")
    if type(value) is str:
        value = _load_object(value, "the value of the stored entry")
    if not isinstance(value, dict):
        message = "the stored entry has no JSON object as its value"
        raise DeserializationError(message)
    return ManagedEntry(
        value=cast("dict[str, Any]", value),
        created_at=_load_datetime(envelope, "created_at"),
        expires_at=_load_datetime(envelope, "expires_at"),
        key=_load_name(envelope, "key"),
        collection=_load_name(envelope, "collection"),
    )


def load_value(text: bytes | str) -> dict[str, Any]:
    """A value stored by itself, as in a JSON column. Raises DeserializationError."""
    return _load_object(text, "the stored value")


def _load_object(text: bytes | str, what: str) -> dict[str, Any]:
    try:
        loaded = _load_exactly(text)
    except (ValueError, RecursionError) as exc:
        message = f"{what} is not JSON"
        raise DeserializationError(message) from exc
    if not isinstance(loaded, dict):
        message = f"{what} is not a JSON object"
        raise DeserializationError(message)
    return cast("dict[str, Any]", loaded)


def _load_exactly(text: bytes | str) -> Any:
    if orjson is None:
        return json.loads(text)
    octets = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if _LONG_RUN not in octets.translate(_DIGITS_AS_ZEROS):
        try:
            return orjson.loads(octets)
        except orjson.JSONDecodeError:
            pass  # earlier versions wrote NaN, Infinity and lone surrogates, which the standard library reads
    return json.loads(octets)


def _load_datetime(envelope: dict[str, Any], field: str) -> datetime | None:
    text = envelope.get(field)
    if text is None:
        return None
    try:
        # Python 3.10 does not know the suffix Z.
        return datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] == "Z" else text)
    except (TypeError, ValueError) as exc:
        message = f"{field} of the stored entry is not an ISO 8601 date and time"
        raise DeserializationError(message) from exc


def _load_name(envelope: dict[str, Any], field: str) -> str | None:
    name = envelope.get(field)
    if name is not None and type(name) is not str:
        message = f"{field} of the stored entry is not a string"
        raise DeserializationError(message)
    return name
