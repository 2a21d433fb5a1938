"""MemoryStore against the predecessor's: the same program on both, taking turns, so that noise affects both equally."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predecessor import PREDECESSOR

from benchmarks.environments import Worker
from benchmarks.report import Table, at_least, micro
from benchmarks.workers.documents import LARGE

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_ROUNDS = 25
_SMALL_TARGETS = {"get": 12.0, "put": 10.0, "put ttl": 10.0, "get_many": 12.0, "put_many": 12.0}
_LARGE_TARGETS = {"get": 2.5, "put": 6.0}


def run(environments: Environments) -> list[Table]:
    targets = _SMALL_TARGETS | {
        f"{method} {shape}": factor for method, factor in _LARGE_TARGETS.items() for shape in LARGE
    }
    with Worker(environments.ours, "memory_store") as ours, Worker(environments.predecessor, "memory_store") as theirs:
        best = {name: [float("inf"), float("inf")] for name in targets}
        for _ in range(_ROUNDS):
            for name, seconds in best.items():
                seconds[:] = min(seconds[0], ours.ask(name)), min(seconds[1], theirs.ask(name))
    rows = {
        name: at_least(name, [micro(own), micro(other)], targets[name], other / own)
        for name, (own, other) in best.items()
    }
    columns = ("ours", PREDECESSOR)
    return [
        Table("MemoryStore, small values; batches of 100", columns, [rows[name] for name in _SMALL_TARGETS]),
        Table(
            "MemoryStore, values of 50 KB",
            columns,
            [row for name, row in rows.items() if name not in _SMALL_TARGETS],
        ),
    ]
