"""Number of the library's own stack frames that a warm call executes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predecessor import PREDECESSOR
from servers.redis import RedisServer

from benchmarks.environments import measure
from benchmarks.report import Row, Table, at_most

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_TARGET_FRAMES = 8
_OPERATIONS_WITH_TARGET = ("get", "put")


def run(environments: Environments) -> list[Table]:
    with RedisServer(private=True) as server:
        ours: dict[str, dict[str, int]] = measure(environments.ours, "frames", server.url)
        theirs: dict[str, dict[str, int]] = measure(environments.predecessor, "frames", server.url)
    rows = [
        _row(f"{store} {operation}", operation, frames, theirs[store][operation])
        for store, operations in ours.items()
        for operation, frames in operations.items()
    ]
    return [Table("Frames of key_value/aio in a warm call", ("ours", PREDECESSOR), rows)]


def _row(name: str, operation: str, own: int, other: int) -> Row:
    cells = [str(own), str(other)]
    return at_most(name, cells, _TARGET_FRAMES, own) if operation in _OPERATIONS_WITH_TARGET else Row(name, cells)
