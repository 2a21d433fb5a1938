"""Whether a MemoryStore of a million entries costs what one of a thousand does, and what is left once they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.environments import measure
from benchmarks.report import TIMES, Row, Table, at_most, mega, micro

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_ASKED_GROWTH = 1.5
_LIKE = {
    "get": "get from it",
    "put": "put in a dict of JSON text",
    "put ttl": "put in a dict of JSON text",
}
# One in a hundred of the blocks that a million entries occupy, at the least.
_ASKED_BLOCKS = 10_000
# A tenth of what two million entries would occupy: the allocator does not give back every page.
_ASKED_MEGABYTES_GROWN = 100


def run(environments: Environments) -> list[Table]:
    seconds: dict[str, dict[str, float]] = measure(environments.ours, "scale", "times")
    bytes_per_entry: float = measure(environments.ours, "scale", "memory")
    rounds: list[dict[str, int]] = measure(environments.ours, "scale", "expiring")
    return [_times(seconds), _memory(bytes_per_entry, rounds)]


def _times(seconds: dict[str, dict[str, float]]) -> Table:
    rows: list[Row] = []
    for operation in next(iter(seconds.values())):
        growth = _growth(seconds, operation)
        cells = [micro(at_size[operation]) for at_size in seconds.values()]
        if operation in _LIKE:
            # Where even a dict becomes slower it is the processor's caches that do.
            rows.append(
                at_most(
                    operation, cells, max(_ASKED_GROWTH, round(_growth(seconds, _LIKE[operation]), 2)), growth, TIMES
                )
            )
        else:
            rows.append(Row(operation, cells, "", f"{growth:.2f}{TIMES}"))
    return Table("MemoryStore: one call at a size", [f"{int(size):,}" for size in seconds], rows)


def _growth(seconds: dict[str, dict[str, float]], operation: str) -> float:
    costs = [at_size[operation] for at_size in seconds.values()]
    return max(costs) / min(costs)


def _memory(bytes_per_entry: float, rounds: list[dict[str, int]]) -> Table:
    first, second = rounds
    rows = [Row("a million entries, for each", ["", "", ""], "", f"{bytes_per_entry:.0f} bytes")]
    for name, each in (("a million put with ttl=1", first), ("a million more", second)):
        cells = [mega(each["before"]), mega(each["peak"]), mega(each["after"])]
        left = each["blocks_after"] - each["blocks_before"]
        rows.append(at_most(f"{name}: objects left", cells, _ASKED_BLOCKS, left))
    grown = (second["after"] - first["before"]) / 1e6
    rows.append(at_most("both: grown for good", ["", "", ""], _ASKED_MEGABYTES_GROWN, grown, " MB"))
    return Table("MemoryStore: resident memory", ("before", "peak", "once expired"), rows)
