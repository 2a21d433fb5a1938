"""The records of one namespace, and the conditions of writes."""

from __future__ import annotations

import time
from bisect import bisect_right, insort
from typing import TYPE_CHECKING, NamedTuple

from servers._fake_aerospike.expressions import passes
from servers._fake_aerospike.wire import Bits, Code, Field, Message, Operation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PARTITIONS", "Namespace", "Options", "Record"]

PARTITIONS = 4096

# 2010-01-01T00:00:00Z in seconds since 1970.
_AEROSPIKE_EPOCH = 1_262_304_000
_MAX_TTL_SECONDS = 10 * 365 * 24 * 60 * 60
_TTL_DEFAULT, _TTL_NEVER_EXPIRE, _TTL_DONT_UPDATE = 0, 0xFFFF_FFFF, 0xFFFF_FFFE
_MAX_BIN_NAME_BYTES = 15
_MAX_GENERATION = 0xFFFF


class Options(NamedTuple):
    """The settings of a namespace, named as in Aerospike."""

    name: str
    nsup_period: int
    default_ttl: int
    max_record_size: int


class Record:
    __slots__ = ("bins", "generation", "key", "set_name", "updated", "void_time")

    def __init__(self, set_name: bytes) -> None:
        self.set_name = set_name
        self.key = b""
        """The type byte and the user's key; empty if no write has sent it."""
        self.generation = 0
        self.void_time = 0
        self.updated = 0
        self.bins: dict[bytes, tuple[int, bytes]] = {}

    @property
    def size(self) -> int:
        return 64 + len(self.key) + sum(len(name) + len(value) + 8 for name, (_, value) in self.bins.items())


class Namespace:
    def __init__(self, options: Options) -> None:
        self.options = options
        self._records: dict[bytes, Record] = {}
        # The digests of each partition, sorted: the order of queries.
        self._digests: list[list[bytes]] = [[] for _ in range(PARTITIONS)]

    def find(self, digest: bytes) -> Record | None:
        record = self._records.get(digest)
        if record is not None and 0 < record.void_time < _now():
            self._remove(digest)
            return None
        return record

    def live(self, partition: int, after: bytes | None = None) -> Iterator[tuple[bytes, Record]]:
        """Yield the records of a partition after a digest."""
        digests = self._digests[partition]
        for digest in digests[0 if after is None else bisect_right(digests, after) :]:
            record = self.find(digest)
            if record is not None:
                yield digest, record

    def truncate(self, set_name: bytes, before: int) -> None:
        """Remove records last written before a time in ns since 1970 (0: now); an empty name means all sets."""
        limit = before or time.time_ns()
        for digest, record in list(self._records.items()):
            if (record.set_name == set_name or not set_name) and record.updated <= limit:
                self._remove(digest)

    def objects(self, set_name: bytes) -> int:
        return sum(record.set_name == set_name for record in self._records.values())

    def sets(self) -> set[bytes]:
        return {record.set_name for record in self._records.values()}

    def write(self, digest: bytes, message: Message) -> tuple[int, Record | None]:
        """Return the result code, and the record after the write."""
        record = self.find(digest)
        error_code = self._check_write(record, message)
        if error_code:
            return error_code, record
        if message.info2 & Bits.DELETE_2 or any(each.kind == Operation.DELETE for each in message.operations):
            self._remove(digest)
            return Code.OK, None
        written = Record(message.fields.get(Field.SET, b"")) if record is None else record
        bins = dict(written.bins)
        if message.info3 & (Bits.CREATE_OR_REPLACE_3 | Bits.REPLACE_ONLY_3):
            bins.clear()
        for operation in message.operations:
            if operation.kind == Operation.WRITE:
                if len(operation.name) > _MAX_BIN_NAME_BYTES:
                    return Code.BIN_NAME, record
                if operation.particle == Operation.NULL:
                    bins.pop(operation.name, None)
                else:
                    bins[operation.name] = operation.particle, operation.value
        # A stored key is kept, even if a later write does not send it.
        return self._store(digest, written, bins, message.fields.get(Field.KEY) or written.key, message.ttl)

    def _check_write(self, record: Record | None, message: Message) -> int:
        """Return the error code with which the write is rejected; 0 if it is allowed."""
        must_exist = message.info3 & (Bits.UPDATE_ONLY_3 | Bits.REPLACE_ONLY_3) or message.info2 & Bits.DELETE_2
        condition = message.fields.get(Field.FILTER)
        if record is None and must_exist:
            return Code.NOT_FOUND
        if record is not None and message.info2 & Bits.CREATE_ONLY_2:
            return Code.EXISTS
        if record is not None and condition is not None and not passes(condition, record):
            return Code.FILTERED_OUT
        generation = 0 if record is None else record.generation
        if message.info2 & Bits.GENERATION_2 and message.generation != generation:
            return Code.GENERATION
        return 0 if message.info2 & Bits.DELETE_2 else self._check_ttl(message.ttl)

    def _check_ttl(self, ttl: int) -> int:
        if ttl in (_TTL_DEFAULT, _TTL_NEVER_EXPIRE, _TTL_DONT_UPDATE):
            return 0
        if ttl > _MAX_TTL_SECONDS:
            return Code.PARAMETER
        return 0 if self.options.nsup_period else Code.FORBIDDEN

    def _store(
        self, digest: bytes, record: Record, bins: dict[bytes, tuple[int, bytes]], key: bytes, ttl: int
    ) -> tuple[int, Record | None]:
        before = record.bins, record.key
        record.bins, record.key = bins, key
        if record.size > self.options.max_record_size:
            record.bins, record.key = before
            return Code.TOO_BIG, record
        if digest not in self._records:
            self._records[digest] = record
            insort(self._digests[partition_of(digest)], digest)
        record.generation = record.generation % _MAX_GENERATION + 1
        record.updated = time.time_ns()
        if ttl == _TTL_DEFAULT:
            ttl = self.options.default_ttl or _TTL_NEVER_EXPIRE
        if ttl != _TTL_DONT_UPDATE:
            record.void_time = 0 if ttl == _TTL_NEVER_EXPIRE else _now() + ttl
        return Code.OK, record

    def _remove(self, digest: bytes) -> None:
        del self._records[digest]
        self._digests[partition_of(digest)].remove(digest)


def partition_of(digest: bytes) -> int:
    return int.from_bytes(digest[:2], "little") % PARTITIONS


def _now() -> int:
    return int(time.time()) - _AEROSPIKE_EPOCH
