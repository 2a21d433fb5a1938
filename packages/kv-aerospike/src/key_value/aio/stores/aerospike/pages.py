"""Paginated listing of a set by partition: the digest of a name determines one of 4096 partitions."""

import re
import time
from typing import NamedTuple

from key_value.aio.stores.aerospike.client import Query, Records
from key_value.aio.stores.aerospike.envelopes import name_of

__all__ = ["FIRST", "Position", "list_page"]

_PARTITIONS = 4096
_CURSOR = re.compile(r"([0-9]{1,4})/([1-9][0-9]{0,3})/([0-9a-f]{40})?", re.ASCII)
# The maximum factor between the numbers of partitions in successive queries.
_MAX_GROWTH = 16
_MAX_PAGE_SECONDS = 0.5


class Position(NamedTuple):
    """Where a listing continues: `width` partitions from `partition`, the first of them after the digest `after`."""

    partition: int
    width: int
    after: bytes | None

    @classmethod
    def parse(cls, cursor: str) -> "Position":
        """Parse a cursor. Raises ValueError for an invalid one."""
        parts = _CURSOR.fullmatch(cursor)
        if parts is not None:
            after = None if parts[3] is None else bytes.fromhex(parts[3])
            position = cls(int(parts[1]), int(parts[2]), after)
            owns = after is None or (_partition_of(after), 1) == position[:2]
            if owns and position.partition < _PARTITIONS and position.width <= _PARTITIONS:
                return position
        message = "the cursor was not returned by a scan of this store"
        raise ValueError(message)

    def __str__(self) -> str:
        return f"{self.partition}/{self.width}/{'' if self.after is None else self.after.hex()}"


FIRST = Position(0, 1, None)


def list_page(
    records: Records, deadline: float | None, position: Position, limit: int, prefix: str | None
) -> tuple[list[tuple[str, bytes]], Position | None]:
    """Return about `limit` names with their digests, and the position of the next page.

    The first query reads at most `limit` names from one partition. Digests are distributed evenly, so its result shows
    how many partitions the next query should read.
    """
    end = time.monotonic() + _MAX_PAGE_SECONDS
    found: list[tuple[str, bytes]] = []
    while True:
        begin, width, after = position
        count = min(width, _PARTITIONS - begin)
        wanted = limit - len(found)
        listed = records.query(deadline, Query(begin, count, after, wanted if count == 1 else 0, prefix))
        found += _with_names(records, deadline, listed, prefix)
        if count == 1 and len(listed) >= wanted:
            return found, Position(begin, 1, listed[-1][1])
        if begin + count == _PARTITIONS:
            return found, None
        more = wanted * count // len(listed) if listed else count * _MAX_GROWTH
        position = Position(begin + count, max(1, min(more, count * _MAX_GROWTH, _PARTITIONS)), None)
        # Return at least half a page, unless it takes long because most records do not match.
        if len(found) * 2 >= limit or time.monotonic() > end:
            return found, position


def _with_names(
    records: Records, deadline: float | None, listed: list[tuple[str | None, bytes]], prefix: str | None
) -> list[tuple[str, bytes]]:
    """Complete the names: earlier versions stored none, so they are read from the entries."""
    nameless = [digest for name, digest in listed if name is None]
    read = dict(zip(nameless, records.get_each(deadline, nameless), strict=True)) if nameless else {}
    named: list[tuple[str, bytes]] = []
    for stored_name, digest in listed:
        name = stored_name
        if name is None and (stored := read[digest]) is not None:
            name = name_of(stored.text)
            if name is not None and records.digest(name) != digest:
                continue
        if name is not None and name.startswith(prefix or ""):
            named.append((name, digest))
    return named


def _partition_of(digest: bytes) -> int:
    return int.from_bytes(digest[:2], "little") % _PARTITIONS
