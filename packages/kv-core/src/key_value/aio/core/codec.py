"""JSON, in one call each way.

orjson does the work, restricted to what JSON can hold. By itself it writes NaN as null, turns UUID and Enum into
strings, and reads integers over 64 bits as floats; so its input is checked, and the standard library handles the values
that orjson would change. Without orjson the standard library does everything.
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
"""The JSON text of a value: bytes when orjson reads it back exactly, str when only the standard library does."""

decode_fast: Callable[[bytes], Any] = json.loads if orjson is None else orjson.loads
"""`decode_value` for bytes, in C and so without a Python frame."""

_STRICT = (
    0
    if orjson is None
    else orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS
)


class EncodedDict(dict[str, Any]):
    """A value that carries its JSON text through a stack of wrappers, so that it is encoded once.

    For all other code it is a dict. Changing it drops the text; the objects in it belong to the caller and must not be
    changed.
    """

    __slots__ = ("encoded",)

    encoded: EncodedValue | None

    def __init__(self, value: Mapping[str, Any], encoded: EncodedValue) -> None:
        """`encoded` is the result of `encode_value(value)`."""
        super().__init__(value)
        self.encoded = encoded

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> tuple["EncodedDict", EncodedValue]:
        """The value with its JSON text. Raises the errors of `encode_value`."""
        encoded = encode_value(value)
        return value if type(value) is cls else cls(value, encoded), encoded

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)


def _forgetful(name: str) -> Callable[..., Any]:
    change: Callable[..., Any] = getattr(dict, name)

    @functools.wraps(change)
    def changed(self: EncodedDict, *args: Any, **kwargs: Any) -> Any:
        self.encoded = None
        return change(self, *args, **kwargs)

    return changed


for _name in ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update"):
    setattr(EncodedDict, _name, _forgetful(_name))


# A float in marshal's format is "g", or "g" with the high bit set, and eight bytes. In one that is not finite the last
# of them is 7F, or FF for a negative one, and the one before is at least F0.
_NON_FINITE = {
    last: re.compile(
        rb"%b(?<=[g\xe7].{6}[\xf0-\xff]%b)" % (re.escape(bytes([last])), re.escape(bytes([last]))), re.DOTALL
    )
    for last in (0x7F, 0xFF)
}
_MOST_PLACES_LOOKED_AT = 64

_SMALL_BYTES = 2048
_MOST_JOINED_BYTES = 256 * 1024

# Runs of 19 digits may be integers over 64 bits. Looking for one this way takes 0.7 ns a byte, a regex 9 ns.
_DIGITS_AS_ZEROS = bytes(ord("0") if byte in b"0123456789" else 0 for byte in range(256))
_LONG_RUN = b"0" * 19


def encode_value(value: Mapping[str, Any]) -> EncodedValue:
    """The JSON text of a value.

    Raises TypeError if it is not a mapping, and SerializationError with the path of the first part that is not JSON.
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
        # marshal refuses every type but the builtin ones: the UUID, Enum and Fragment that orjson lets pass. In C it
        # costs as much as the encoding; walking the value in Python costs five times that.
        marshalled = marshal.dumps(value)
    except (TypeError, ValueError):
        return _encode_exactly(value)
    # orjson writes NaN and the infinities as null.
    for last in _NON_FINITE:
        if last in marshalled and _holds_non_finite(marshalled, last):
            return _encode_exactly(value)
    # orjson's result for a small value occupies 4 KB. A copy costs 60 ns.
    return b"".join((encoded, b"")) if len(encoded) < _SMALL_BYTES else encoded


def _holds_non_finite(marshalled: bytes, last: int) -> bool:
    # Looking at the few places where the byte stands takes 2 µs for 50 KB. Where it stands in many, as it does three
    # times in every small negative integer, searching for the pattern is faster.
    pattern = _NON_FINITE[last]
    at = -1
    for _ in range(_MOST_PLACES_LOOKED_AT):
        at = marshalled.find(last, at + 1)
        if at < 0:
            return False
        if pattern.match(marshalled, at):
            return True
    return pattern.search(marshalled, at) is not None


def _encode_exactly(value: dict[str, Any]) -> EncodedValue:
    plain = plain_object(value)
    try:
        text = json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (ValueError, RecursionError) as exc:
        message = "cannot serialize the value: it is nested too deeply or holds an integer of over 4300 digits"
        raise SerializationError(message) from exc
    return text


def decode_value(encoded: EncodedValue) -> dict[str, Any]:
    """The value behind its JSON text, in new dicts and lists."""
    return decode_fast(encoded) if type(encoded) is bytes else json.loads(encoded)


def is_plain(part: Any) -> bool:
    """Whether it surely has only the exact types that JSON is loaded to, where it cannot hold a UUID or an Enum.

    For what another decoder has made of a value.
    """
    if orjson is None:
        return False
    try:
        orjson.dumps(part, None, _STRICT)
    except (TypeError, ValueError):
        return False
    return True


def dump_fields(fields: dict[str, Any], value: EncodedValue) -> bytes:
    """A JSON object of the fields, each a str, an int or a datetime, and of the JSON text `value`."""
    if orjson is not None:
        fields["value"] = orjson.Fragment(value)
        return orjson.dumps(fields)
    head = json.dumps(fields, default=datetime.isoformat).encode()[:-1]
    return b'%b,"value":%b}' % (head, value.encode() if isinstance(value, str) else value)


def load_object(text: bytes | str, what: str = "the stored value") -> dict[str, Any]:
    """Load a JSON object of any writer, with integers of any size, NaN and the infinities.

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
    """`load_object` of each. Of a hundred small ones it takes two thirds of the time."""
    # One look for all; not worth a copy of large ones.
    if orjson is not None and sum(map(len, texts)) <= _MOST_JOINED_BYTES and not _holds_long_run(b" ".join(texts)):
        try:
            loaded = [*map(orjson.loads, texts)]
        except orjson.JSONDecodeError:
            loaded = []
        if {*map(type, loaded)} == {dict}:
            return loaded
    return [load_object(text, what) for text in texts]


def _holds_long_run(octets: bytes) -> bool:
    # A run of 19 has in it two neighbours of every ninth byte: looking at those is three times as fast.
    if len(octets) > _SMALL_BYTES and b"00" not in octets[::9].translate(_DIGITS_AS_ZEROS):
        return False
    return _LONG_RUN in octets.translate(_DIGITS_AS_ZEROS)


def _load_exactly(text: bytes | str) -> Any:
    if orjson is None:
        return json.loads(text)
    octets = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    if not _holds_long_run(octets):
        try:
            return orjson.loads(octets)
        except orjson.JSONDecodeError:
            pass  # earlier versions wrote NaN, Infinity and lone surrogates, which the standard library reads
    return json.loads(octets)
