"""Cost of a call on a MemoryStore with a thousand to a million entries, and memory after the entries have expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.environments import measure
from benchmarks.report import TIMES, Row, Table, at_most, mega, micro

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_TARGET_GROWTH = 1.5
_BASELINES = {
    "get": "get from it",
    "put": "put in a dict of JSON text",
    "put ttl": "put in a dict of JSON text",
}
# At most 1 % of the blocks that a million entries occupy.
_TARGET_REMAINING_BLOCKS = 10_000
# A tenth of what two million entries would occupy: the allocator does not return every page to the system.
_TARGET_GROWTH_MEGABYTES = 100


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
        if operation in _BASELINES:
            # If a plain dict slows down too, the processor's caches are the cause.
            target = max(_TARGET_GROWTH, round(_growth(seconds, _BASELINES[operation]), 2))
            rows.append(at_most(operation, cells, target, growth, TIMES))
        else:
            rows.append(Row(operation, cells, "", f"{growth:.2f}{TIMES}"))
    return Table("MemoryStore: one call at a size", [f"{int(size):,}" for size in seconds], rows)


def _growth(seconds: dict[str, dict[str, float]], operation: str) -> float:
    costs = [at_size[operation] for at_size in seconds.values()]
    return max(costs) / min(costs)


def _memory(bytes_per_entry: float, rounds: list[dict[str, int]]) -> Table:
    first, second = rounds
    rows = [Row("a million entries, for each", ["", "", ""], "", f"{bytes_per_entry:.0f} bytes")]
    for name, each in (("a million puts with ttl=1", first), ("a million more", second)):
        cells = [mega(each["before"]), mega(each["peak"]), mega(each["after"])]
        left = each["blocks_after"] - each["blocks_before"]
        rows.append(at_most(f"{name}: remaining objects", cells, _TARGET_REMAINING_BLOCKS, left))
    grown = (second["after"] - first["before"]) / 1e6
    rows.append(at_most("both: permanent growth", ["", "", ""], _TARGET_GROWTH_MEGABYTES, grown, " MB"))
    return Table("MemoryStore: resident memory", ("before", "peak", "once expired"), rows)
