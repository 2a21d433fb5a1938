"""The filter expressions that our store sends: comparisons of the key and of bins, with and, or and not."""

from __future__ import annotations

import operator
import struct
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers._fake_aerospike.records import Record

__all__ = ["passes"]

# The codes of the C client, in as_exp.h.
_AND, _OR, _NOT = 16, 17, 18
_KEY_EXISTS, _KEY, _BIN = 71, 80, 81
_COMPARISONS: dict[int, Callable[[Any, Any], bool]] = {
    1: operator.eq,
    2: operator.ne,
    3: operator.gt,
    4: operator.ge,
    5: operator.lt,
    6: operator.le,
}

_STRING_LENGTH_FORMATS = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_NUMBER_FORMATS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}


def passes(octets: bytes, record: Record) -> bool:
    """Return whether the record passes the filter. An unknown result, such as for a missing key, does not pass."""
    expression, _ = _unpack(octets, 0)
    return _value(expression, record) is True


def _value(expression: Any, record: Record) -> Any:
    """Return the value of an expression for the record; None if it is unknown."""
    if isinstance(expression, bytes):
        return expression[1:]  # after the type byte of a constant
    if not isinstance(expression, list):
        return expression
    code, *arguments = cast("list[Any]", expression)
    if code in (_KEY_EXISTS, _KEY, _BIN):
        return _record_value(code, arguments, record)
    values = [_value(argument, record) for argument in arguments]
    if code in (_AND, _OR):
        decisive = code == _OR
        return decisive if decisive in values else None if None in values else not decisive
    if None in values:
        return None
    return not values[0] if code == _NOT else _COMPARISONS[code](*values)


def _record_value(code: int, arguments: list[Any], record: Record) -> Any:
    if code == _KEY_EXISTS:
        return bool(record.key)
    if code == _KEY:
        return record.key[1:] if record.key[:1] == bytes(arguments) else None
    kind, name = arguments
    particle, value = record.bins.get(name, (None, None))
    return value if particle == kind else None


def _unpack(octets: bytes, offset: int) -> tuple[Any, int]:
    """Return the MessagePack value at the offset, and the offset of its end."""
    kind = octets[offset]
    offset += 1
    if kind < 0x80:  # noqa: PLR2004 — type codes of MessagePack
        return kind, offset
    if 0x90 <= kind <= 0x9F:  # noqa: PLR2004
        return _list(octets, offset, kind & 0x0F)
    if 0xA0 <= kind <= 0xBF:  # noqa: PLR2004
        return octets[offset : offset + (kind & 0x1F)], offset + (kind & 0x1F)
    if kind in _STRING_LENGTH_FORMATS:
        (size,) = struct.unpack_from(_STRING_LENGTH_FORMATS[kind], octets, offset)
        offset += struct.calcsize(_STRING_LENGTH_FORMATS[kind])
        return octets[offset : offset + size], offset + size
    if kind in _NUMBER_FORMATS:
        (number,) = struct.unpack_from(_NUMBER_FORMATS[kind], octets, offset)
        return number, offset + struct.calcsize(_NUMBER_FORMATS[kind])
    message = f"the fake does not support the MessagePack type {kind:#x}"
    raise ValueError(message)


def _list(octets: bytes, offset: int, size: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    for _ in range(size):
        item, offset = _unpack(octets, offset)
        items.append(item)
    return items, offset
