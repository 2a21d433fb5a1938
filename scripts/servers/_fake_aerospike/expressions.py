"""The filter expressions that our store sends: comparisons of the key and of bins, and what joins them."""

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

_SIZED = {0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
_NUMBERS = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}


def passes(octets: bytes, record: Record) -> bool:
    """Whether the record passes the filter. What is unknown, such as a key that is not stored, does not."""
    expression, _ = _unpacked(octets, 0)
    return _value(expression, record) is True


def _value(expression: Any, record: Record) -> Any:
    """What an expression comes to for the record; None for what is unknown."""
    if isinstance(expression, bytes):
        return expression[1:]  # behind the type of a constant
    if not isinstance(expression, list):
        return expression
    code, *arguments = cast("list[Any]", expression)
    if code in (_KEY_EXISTS, _KEY, _BIN):
        return _part(code, arguments, record)
    values = [_value(argument, record) for argument in arguments]
    if code in (_AND, _OR):
        decisive = code == _OR
        return decisive if decisive in values else None if None in values else not decisive
    if None in values:
        return None
    return not values[0] if code == _NOT else _COMPARISONS[code](*values)


def _part(code: int, arguments: list[Any], record: Record) -> Any:
    if code == _KEY_EXISTS:
        return bool(record.key)
    if code == _KEY:
        return record.key[1:] if record.key[:1] == bytes(arguments) else None
    kind, name = arguments
    particle, value = record.bins.get(name, (None, None))
    return value if particle == kind else None


def _unpacked(octets: bytes, at: int) -> tuple[Any, int]:
    """A value of MessagePack, and where it ends."""
    kind = octets[at]
    at += 1
    if kind < 0x80:  # noqa: PLR2004 — MessagePack's numbers have no names
        return kind, at
    if 0x90 <= kind <= 0x9F:  # noqa: PLR2004
        return _list(octets, at, kind & 0x0F)
    if 0xA0 <= kind <= 0xBF:  # noqa: PLR2004
        return octets[at : at + (kind & 0x1F)], at + (kind & 0x1F)
    if kind in _SIZED:
        (size,) = struct.unpack_from(_SIZED[kind], octets, at)
        at += struct.calcsize(_SIZED[kind])
        return octets[at : at + size], at + size
    if kind in _NUMBERS:
        (number,) = struct.unpack_from(_NUMBERS[kind], octets, at)
        return number, at + struct.calcsize(_NUMBERS[kind])
    message = f"the fake does not know the MessagePack type {kind:#x}"
    raise ValueError(message)


def _list(octets: bytes, at: int, size: int) -> tuple[list[Any], int]:
    items: list[Any] = []
    for _ in range(size):
        item, at = _unpacked(octets, at)
        items.append(item)
    return items, at
