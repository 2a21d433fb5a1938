"""Rows in ClickHouse's RowBinary format, and parameters of its statements."""

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Row", "array_parameter", "dump_row", "load_rows", "text_parameter"]

Row = tuple[Any, ...]

_LOW_SEVEN_BITS = 0x7F
_CONTINUATION_BIT = 0x80
_INT32_BYTES = 4


def dump_row(texts: Iterable[bytes], version: int, stamp: int) -> bytes:
    """Encode a row of strings, an Int32 and a DateTime64(9) in nanoseconds since 1970."""
    fields = [part for text in texts for part in (_varint(len(text)), text)]
    return b"".join((*fields, version.to_bytes(_INT32_BYTES, "little", signed=True), stamp.to_bytes(8, "little")))


def load_rows(octets: bytes, columns: str) -> list[Row]:
    """Decode rows. Each letter of `columns` is a column: "s" for a String, returned as bytes, "i" for an Int32."""
    rows: list[Row] = []
    at = 0
    while at < len(octets):
        row: list[bytes | int] = []
        for column in columns:
            if column == "i":
                end = at + _INT32_BYTES
                row.append(int.from_bytes(octets[at:end], "little", signed=True))
            else:
                length = shift = 0
                while octets[at] & _CONTINUATION_BIT:
                    length |= (octets[at] & _LOW_SEVEN_BITS) << shift
                    shift += 7
                    at += 1
                length |= octets[at] << shift
                at += 1
                end = at + length
                row.append(octets[at:end])
            at = end
        rows.append(tuple(row))
    return rows


def text_parameter(text: str) -> str:
    """Encode a parameter of type String, which ClickHouse parses like a field of tab-separated values."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def array_parameter(texts: Sequence[str]) -> str:
    """Encode a parameter of type Array(String), which ClickHouse parses like SQL."""
    return "[" + ",".join("'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in texts) + "]"


def _varint(number: int) -> bytes:
    """Encode a length as an unsigned LEB128 varint."""
    if number < _CONTINUATION_BIT:
        return number.to_bytes(1, "little")
    octets = bytearray()
    while number >= _CONTINUATION_BIT:
        octets.append(number & _LOW_SEVEN_BITS | _CONTINUATION_BIT)
        number >>= 7
    octets.append(number)
    return bytes(octets)
