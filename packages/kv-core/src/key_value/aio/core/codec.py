"""JSON encoding and decoding, each in one call.

orjson does the work, restricted to values that JSON can represent. By itself it writes NaN as null, UUID and Enum as
strings, and reads integers over 64 bits as floats. Therefore its input is checked, and the standard library handles the
values that orjson would change. Without orjson the standard library does everything.
"""

import functools
import json
import marshal
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from key_value.aio.core.plain import plain_object
from key_value.aio.core.type_checks import require
from key_value.aio.errors import DeserializationError, SerializationError

try:
    import orjson
except ImportError:  # no wheel for this platform, or one that does not load
    orjson = None

__all__ = [
    "EncodedDict",
    "EncodedValue",
    "decode_fast",
    "decode_value",
    "dump_fields",
    "encode_value",
    "is_plain",
    "load_object",
    "load_objects",
]

EncodedValue = bytes | str
"""The JSON text of a value: bytes if orjson reads it back exactly, str if only the standard library does."""

decode_fast: Callable[[bytes], Any] = json.loads if orjson is None else orjson.loads
"""`decode_value` for bytes, without a Python frame."""

_STRICT = (
    0
    if orjson is None
    else orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
)


class EncodedDict(dict[str, Any]):
    """A value that carries its JSON text through a stack of wrappers, so that it is encoded only once.

    To all other code it is a dict. Changing it discards the text. The nested objects belong to the caller and must not
    be changed.
    """

    __slots__ = ("encoded",)

    encoded: EncodedValue | None

    def __init__(self, value: Mapping[str, Any], encoded: EncodedValue) -> None:
        """`encoded` is the result of `encode_value(value)`."""
        super().__init__(value)
        self.encoded = encoded

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> tuple["EncodedDict", EncodedValue]:
        """Return the value as an EncodedDict, and its JSON text. Raises the errors of `encode_value`."""
        encoded = encode_value(value)
        return value if type(value) is cls else cls(value, encoded), encoded

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


def _invalidating(name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(dict, name)

    @functools.wraps(method)
    def invalidating_method(self: EncodedDict, *args: Any, **kwargs: Any) -> Any:
        self.encoded = None
        return method(self, *args, **kwargs)

    return invalidating_method


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(EncodedDict, _name, _invalidating(_name))


# marshal writes a float as "g", or "g" with the high bit set, followed by eight bytes. In a non-finite float the last
# byte is 7F, or FF if negative, and the byte before it is at least F0.
_NON_FINITE = {
    last: re.compile(
        rb"%b(?<=[g\xe7].{6}[\xf0-\xff]%b)" % (re.escape(bytes([last])), re.escape(bytes([last]))), re.DOTALL
    )
    for last in (0x7F, 0xFF)
}
_MAX_CANDIDATES = 64

_SMALL_BYTES = 2048
_MAX_JOINED_BYTES = 256 * 1024

# A run of 19 digits may be an integer over 64 bits. This search takes 0.7 ns per byte, a regex 9 ns.
_DIGITS_TO_ZEROS = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
_LONG_DIGIT_RUN = b"0" * 19


def encode_value(value: Mapping[str, Any]) -> EncodedValue:
    """Return the JSON text of a value.

    Raises TypeError if it is not a mapping, and SerializationError with the path of the first part that JSON cannot
    represent.
    """
    if type(value) is not dict:
        if type(value) is EncodedDict and value.encoded is not None:
            return value.encoded
        require(value, Mapping, name="value", expected="a mapping with str keys")
        value = dict(value)
    value = cast("dict[str, Any]", value)
    if orjson is None:
        return _encode_exactly(value)
    try:
        encoded = orjson.dumps(value, None, _STRICT)
        # marshal accepts only builtin types, so it refuses the UUID, Enum and Fragment that orjson accepts. It takes as
        # long as the encoding; walking the value in Python takes five times as long.
        marshalled = marshal.dumps(value)
    except (TypeError, ValueError):
        return _encode_exactly(value)
    # orjson writes NaN and the infinities as null.
    for last in _NON_FINITE:
        if last in marshalled and _holds_non_finite(marshalled, last):
            return _encode_exactly(value)
    # orjson's result for a small value occupies 4 KB. Copying it to its actual size takes 60 ns.
    return b"".join((encoded, b"")) if len(encoded) < _SMALL_BYTES else encoded


def _holds_non_finite(marshalled: bytes, last: int) -> bool:
    # Checking the few positions of the byte takes 2 µs for 50 KB. If it is frequent, as in small negative integers,
    # which contain it three times each, searching for the pattern is faster.
    pattern = _NON_FINITE[last]
    position = -1
    for _ in range(_MAX_CANDIDATES):
        position = marshalled.find(last, position + 1)
        if position < 0:
            return False
        if pattern.match(marshalled, position):
            return True
    return pattern.search(marshalled, position) is not None


def _encode_exactly(value: dict[str, Any]) -> EncodedValue:
    plain = plain_object(value)
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as exc:
        message = "cannot serialize the value: it is nested too deeply or contains an integer of over 4300 digits"
        raise SerializationError(message) from exc
    return text


def decode_value(encoded: EncodedValue) -> dict[str, Any]:
    """Return the value of a JSON text, in new dicts and lists."""
    return decode_fast(encoded) if type(encoded) is bytes else json.loads(encoded)


def is_plain(part: Any) -> bool:
    """Return whether a part of a value certainly consists of the exact types that JSON decoding produces.

    For the output of another decoder; assumes that the part contains no UUID or Enum. Always False without orjson.
    """
    if orjson is None:
        return False
    try:
        orjson.dumps(part, None, _STRICT)
    except (TypeError, ValueError):
        return False
    return True


def dump_fields(fields: dict[str, Any], value: EncodedValue) -> bytes:
    """Return a JSON object of the fields, each a str, an int or a datetime, and a field `value` with that JSON text."""
    if orjson is not None:
        fields["value"] = orjson.Fragment(value)
        return orjson.dumps(fields)
    head = json.dumps(fields, default=datetime.isoformat).encode()[:-1]
    return b'%b,"value":%b}' % (head, value.encode() if isinstance(value, str) else value)


def load_object(text: bytes | str, what: str = "the stored value") -> dict[str, Any]:
    """Load a JSON object written by any encoder, including integers of any size, NaN and the infinities.

    Raises DeserializationError, with `what` as the subject of its message.
    """
    try:
        loaded = _load_exactly(text)
    except (ValueError, RecursionError) as exc:
        message = f"{what} is not JSON"
        raise DeserializationError(message) from exc
    if not isinstance(loaded, dict):
        message = f"{what} is not a JSON object"
        raise DeserializationError(message)
    return cast("dict[str, Any]", loaded)


def load_objects(texts: Sequence[bytes], what: str = "the stored value") -> list[dict[str, Any]]:
    """Call `load_object` for each text. For a hundred small texts, this takes two thirds of the time."""
    # Check small texts for long runs of digits together. Copying large ones costs more than it saves.
    if orjson is not None and sum(map(len, texts)) <= _MAX_JOINED_BYTES and not _holds_long_run(b" ".join(texts)):
        try:
            loaded = [*map(orjson.loads, texts)]
        except orjson.JSONDecodeError:
            loaded = []
        if {*map(type, loaded)} == {dict}:
            return loaded
    return [load_object(text, what) for text in texts]


def _holds_long_run(octets: bytes) -> bool:
    # A run of 19 digits contains at least two consecutive samples of every ninth byte. Checking the samples is three
    # times as fast.
    if len(octets) > _SMALL_BYTES and b"00" not in octets[::9].translate(_DIGITS_TO_ZEROS):
        return False
    return _LONG_DIGIT_RUN in octets.translate(_DIGITS_TO_ZEROS)


def _load_exactly(text: bytes | str) -> Any:
    if orjson is None:
        return json.loads(text)
    octets = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if not _holds_long_run(octets):
        try:
            return orjson.loads(octets)
        except orjson.JSONDecodeError:
            pass  # earlier versions wrote NaN, Infinity and lone surrogates, which only the standard library reads
    return json.loads(octets)
