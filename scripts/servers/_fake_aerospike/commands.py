"""Commands on single records and batches, and queries of a set."""

from __future__ import annotations

import struct
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from servers._fake_aerospike.expressions import passes
from servers._fake_aerospike.records import partition_of
from servers._fake_aerospike.wire import Bits, Code, Field, Message, Operation, answer, parse_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from servers._fake_aerospike.records import Namespace, Record

__all__ = ["Commands"]

_LAST = answer(Code.OK, info3=Bits.LAST_3)


class Commands:
    """Executes commands and counts them: `counts` uses the names of Aerospike's statistics."""

    def __init__(self, namespace: Namespace) -> None:
        self.counts: Counter[str] = Counter()
        self._namespace = namespace
        self._name = namespace.options.name.encode()

    def run(self, octets: bytes, *, may_write: bool) -> bytes:
        message = Message.parse(octets)
        if Field.BATCH in message.fields:
            self.counts["batch_index_initiate"] += 1
            return b"".join(self._batch(message, may_write=may_write)) + _LAST
        if message.fields.get(Field.NAMESPACE) != self._name:
            return answer(Code.NAMESPACE)
        if Field.DIGEST not in message.fields:
            self.counts["pi_query_long_basic_complete"] += 1
            return b"".join(self._query(message)) + _LAST
        digest = message.fields[Field.DIGEST]
        kind = "delete" if message.info2 & Bits.DELETE_2 else "write" if message.info2 & Bits.WRITE_2 else "read"
        code, record = self._execute(digest, message, may_write=may_write)
        self.counts[f"client_{kind}_{'success' if code == Code.OK else 'error'}"] += 1
        return _record_answer(code, record, message)

    def _execute(self, digest: bytes, message: Message, *, may_write: bool) -> tuple[int, Record | None]:
        if message.info2 & Bits.WRITE_2:
            return self._namespace.write(digest, message) if may_write else (Code.ROLE_VIOLATION, None)
        record = self._namespace.find(digest)
        if record is None:
            return Code.NOT_FOUND, None
        condition = message.fields.get(Field.FILTER)
        return (Code.OK if condition is None or passes(condition, record) else Code.FILTERED_OUT), record

    def _batch(self, message: Message, *, may_write: bool) -> Iterator[bytes]:
        for row in _rows(message.fields[Field.BATCH]):
            request = row.message
            if request.fields.get(Field.NAMESPACE) != self._name:
                yield answer(Code.NAMESPACE, index=row.number)
                continue
            code, record = self._execute(row.digest, request, may_write=may_write)
            yield _record_answer(code, record, request, row.number, [(Field.DIGEST, row.digest)])

    def _query(self, message: Message) -> Iterator[bytes]:
        limit = struct.unpack(">Q", message.fields[Field.MAX_RECORDS])[0] if Field.MAX_RECORDS in message.fields else 0
        condition, set_name = message.fields.get(Field.FILTER), message.fields.get(Field.SET)
        sent = 0
        for partition, after in _partitions(message):
            for digest, record in self._namespace.live(partition, after):
                if set_name not in (None, record.set_name) or (condition is not None and not passes(condition, record)):
                    continue
                if sent == limit > 0:
                    return
                sent += 1
                fields = [(Field.DIGEST, digest), (Field.NAMESPACE, self._name), (Field.SET, record.set_name)]
                yield _record_answer(
                    Code.OK, record, message, fields=[*fields, *([(Field.KEY, record.key)] if record.key else [])]
                )
            yield answer(Code.OK, info3=Bits.PARTITION_DONE_3, generation=partition)


class _Row(NamedTuple):
    number: int
    digest: bytes
    message: Message


_REPEAT, _INFO, _GENERATION, _TTL, _INFO4 = 0x01, 0x02, 0x04, 0x08, 0x10


def _rows(octets: bytes) -> Iterator[_Row]:
    """Yield the rows of a batch. A row may repeat the request of the row before."""
    (count,) = struct.unpack_from(">I", octets)
    offset = 5
    message = Message(0, 0, 0, 0, 0, {}, [])
    for _ in range(count):
        (index,) = struct.unpack_from(">I", octets, offset)
        digest, flags = octets[offset + 4 : offset + 24], octets[offset + 24]
        offset += 25
        if not flags & _REPEAT:
            message, offset = _row(octets, offset, flags)
        yield _Row(index, digest, message)


def _row(octets: bytes, offset: int, flags: int) -> tuple[Message, int]:
    info1, info2, info3 = octets[offset : offset + 3] if flags & _INFO else (octets[offset], 0, 0)
    offset += 3 if flags & _INFO else 1
    offset += bool(flags & _INFO4)
    generation = ttl = 0
    if flags & _GENERATION:
        (generation,) = struct.unpack_from(">H", octets, offset)
        offset += 2
    if flags & _TTL:
        (ttl,) = struct.unpack_from(">I", octets, offset)
        offset += 4
    fields, operations = struct.unpack_from(">HH", octets, offset)
    parsed, operations_parsed, offset = parse_parts(octets, offset + 4, fields, operations)
    return Message(info1, info2, info3, generation, ttl, parsed, operations_parsed), offset


def _partitions(message: Message) -> Iterable[tuple[int, bytes | None]]:
    """Yield the partitions to query, each with the digest after which to continue, or None."""
    numbers = message.fields.get(Field.PARTITIONS, b"")
    for (number,) in struct.iter_unpack("<H", numbers):
        yield number, None
    digests = message.fields.get(Field.DIGESTS, b"")
    for start in range(0, len(digests), 20):
        digest = digests[start : start + 20]
        yield partition_of(digest), digest


def _record_answer(
    code: int, record: Record | None, message: Message, index: int = 0, fields: Iterable[tuple[int, bytes]] = ()
) -> bytes:
    if code != Code.OK or record is None:
        return answer(code, index=index, fields=fields)
    bins: list[tuple[bytes, int, bytes]] = []
    if not message.info1 & Bits.NO_BINS_1 and not message.info2 & Bits.WRITE_2:
        request = [each.name for each in message.operations if each.kind == Operation.READ]
        names = request if request and not message.info1 & Bits.READ_ALL_1 else list(record.bins)
        bins = [(name, *record.bins[name]) for name in names if name in record.bins]
    return answer(code, generation=record.generation, void_time=record.void_time, index=index, fields=fields, bins=bins)
