"""Nested wrappers against the predecessor's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predecessor import PREDECESSOR

from benchmarks.environments import Worker, measure
from benchmarks.report import Table, at_least, at_most, micro
from benchmarks.workers.documents import LARGE

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_ROUNDS = 9
_TARGETS = {
    **{f"Compression(Fernet) put {shape}": 3.0 for shape in LARGE},
    **{f"Compression(Fernet) get {shape}": 2.0 for shape in LARGE},
    "Statistics(LimitSize) put small": 6.0,
    "Statistics(LimitSize) get small": 6.0,
}


def run(environments: Environments) -> list[Table]:
    with Worker(environments.ours, "stack") as ours, Worker(environments.predecessor, "stack") as theirs:
        best = {name: [float("inf"), float("inf")] for name in _TARGETS}
        for _ in range(_ROUNDS):
            for name, seconds in best.items():
                seconds[:] = min(seconds[0], ours.ask(name)), min(seconds[1], theirs.ask(name))
    rows = [
        at_least(name, [micro(own), micro(other)], _TARGETS[name], other / own) for name, (own, other) in best.items()
    ]
    own, other = (measure(each, "stack", "cold") for each in (environments.ours, environments.predecessor))
    cold = at_most("primary reads for 100 cold reads through PassthroughCache", [str(own), str(other)], 1, own)
    return [Table("Stacks of wrappers over MemoryStore; large values are 50 KB", ("ours", PREDECESSOR), [*rows, cold])]
