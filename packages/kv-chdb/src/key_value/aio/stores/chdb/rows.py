"""Rows in ClickHouse's binary format, and parameters of its statements."""

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["Row", "array_parameter", "dump_row", "load_rows", "text_parameter"]

Row = tuple[Any, ...]

_SEVEN_BITS = 0x7F
_MORE = 0x80
_INT32_BYTES = 4


def dump_row(texts: Iterable[bytes], version: int, stamp: int) -> bytes:
    """A row of strings, an Int32 and a DateTime64(9), in nanoseconds since 1970."""
    fields = [part for text in texts for part in (_length(len(text)), text)]
    return b"".join((*fields, version.to_bytes(_INT32_BYTES, "little", signed=True), stamp.to_bytes(8, "little")))


def load_rows(octets: bytes, columns: str) -> list[Row]:
    """The rows, of which each letter of `columns` is a column: "s" for a string, as bytes, and "i" for an Int32."""
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
                while octets[at] & _MORE:
                    length |= (octets[at] & _SEVEN_BITS) << shift
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
    """The text as a parameter of type String, which ClickHouse reads as it does a field of tab-separated values."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")


def array_parameter(texts: Sequence[str]) -> str:
    """The texts as a parameter of type Array(String), which ClickHouse reads as it does SQL."""
    return "[" + ",".join("'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'" for text in texts) + "]"


def _length(number: int) -> bytes:
    """The number in groups of seven bits, the lowest first."""
    if number < _MORE:
        return number.to_bytes(1, "little")
    octets = bytearray()
    while number >= _MORE:
        octets.append(number & _SEVEN_BITS | _MORE)
        number >>= 7
    octets.append(number)
    return bytes(octets)
