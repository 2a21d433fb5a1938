"""Messages of Aerospike's protocol: a header of 22 bytes, fields, and operations on bins."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ADMIN",
    "INFO",
    "MESSAGE",
    "Bits",
    "Code",
    "Field",
    "Message",
    "Operation",
    "answer",
    "framed",
    "parse_parts",
]

INFO, ADMIN, MESSAGE = 1, 2, 3

_VERSION = 2
_HEADER = struct.Struct(">BBBBBBIIIHH")
_FIELD = struct.Struct(">IB")
_OPERATION = struct.Struct(">IBBBB")


class Code:
    """Result codes from the client's documentation."""

    OK = 0
    NOT_FOUND = 2
    GENERATION = 3
    PARAMETER = 4
    EXISTS = 5
    TOO_BIG = 13
    NAMESPACE = 20
    BIN_NAME = 21
    FORBIDDEN = 22
    FILTERED_OUT = 27
    INVALID_CREDENTIAL = 65
    NOT_AUTHENTICATED = 80
    ROLE_VIOLATION = 81


class Field:
    NAMESPACE = 0
    SET = 1
    KEY = 2
    DIGEST = 4
    PARTITIONS = 11
    DIGESTS = 12
    MAX_RECORDS = 13
    BATCH = 41
    FILTER = 43


class Bits:
    """Flags of the bytes info1 to info3; the suffix of a name is the number of its byte."""

    READ_ALL_1 = 0x02
    BATCH_1 = 0x08
    NO_BINS_1 = 0x20
    WRITE_2 = 0x01
    DELETE_2 = 0x02
    GENERATION_2 = 0x04
    CREATE_ONLY_2 = 0x20
    LAST_3 = 0x01
    PARTITION_DONE_3 = 0x04
    UPDATE_ONLY_3 = 0x08
    CREATE_OR_REPLACE_3 = 0x10
    REPLACE_ONLY_3 = 0x20


class Operation(NamedTuple):
    """An operation on a bin; `particle` is the type of its value."""

    kind: int
    particle: int
    name: bytes
    value: bytes

    READ = 1
    WRITE = 2
    DELETE = 14
    NULL = 0
    """The particle that removes a bin."""


class Message(NamedTuple):
    """A request: the command with its flags, fields and operations."""

    info1: int
    info2: int
    info3: int
    generation: int
    ttl: int
    fields: dict[int, bytes]
    operations: list[Operation]

    @classmethod
    def parse(cls, octets: bytes) -> Message:
        size, info1, info2, info3, _, _, generation, ttl, _, fields, operations = _HEADER.unpack_from(octets)
        parsed_fields, parsed_operations, _ = parse_parts(octets, size, fields, operations)
        return cls(info1, info2, info3, generation, ttl, parsed_fields, parsed_operations)


def parse_parts(
    octets: bytes, offset: int, fields: int, operations: int
) -> tuple[dict[int, bytes], list[Operation], int]:
    """Return the fields, the operations, and the offset of their end."""
    parsed_fields: dict[int, bytes] = {}
    for _ in range(fields):
        size, kind = _FIELD.unpack_from(octets, offset)
        parsed_fields[kind] = octets[offset + 5 : offset + 4 + size]
        offset += 4 + size
    parsed_operations: list[Operation] = []
    for _ in range(operations):
        size, kind, particle, _, length = _OPERATION.unpack_from(octets, offset)
        name = octets[offset + 8 : offset + 8 + length]
        parsed_operations.append(Operation(kind, particle, name, octets[offset + 8 + length : offset + 4 + size]))
        offset += 4 + size
    return parsed_fields, parsed_operations, offset


def answer(
    code: int,
    *,
    info3: int = 0,
    generation: int = 0,
    void_time: int = 0,
    index: int = 0,
    fields: Iterable[tuple[int, bytes]] = (),
    bins: Iterable[tuple[bytes, int, bytes]] = (),
) -> bytes:
    """Return one message of an answer. In batches, the index replaces the timeout field."""
    sent_fields = [_FIELD.pack(len(value) + 1, kind) + value for kind, value in fields]
    sent_bins = [
        _OPERATION.pack(4 + len(name) + len(value), Operation.READ, particle, 0, len(name)) + name + value
        for name, particle, value in bins
    ]
    header = _HEADER.pack(
        _HEADER.size, 0, 0, info3, 0, code, generation, void_time, index, len(sent_fields), len(sent_bins)
    )
    return b"".join((header, *sent_fields, *sent_bins))


def framed(kind: int, body: bytes) -> bytes:
    return struct.pack(">Q", _VERSION << 56 | kind << 48 | len(body)) + body
