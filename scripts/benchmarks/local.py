"""Local stores against the predecessor's, which block the event loop."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from predecessor import PREDECESSOR

from benchmarks.environments import Worker, measure
from benchmarks.report import TIMES, Row, Table, at_least, at_most, mega, micro, milli

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_ROUNDS = 7
_TARGET_RATIOS: dict[str, dict[str, float | None]] = {
    "disk": {
        "get": 0.6,
        "put": 0.8,
        "16 concurrent gets": 1.5,
        "100 concurrent puts": 5.0,
        "get_many 100": 5.0,
        "put_many 100": 10.0,
    },
    "filetree": {"get": 2.0, "put": 1.5, "get_many 100": None, "put_many 100": None},
    "rocksdb": {"get": None, "put": None, "get_many 100": 5.0, "put_many 100": 5.0},
    "duckdb": {"get": 1.2, "put": None, "get_many 100": None, "put_many 100": 10.0},
    "chdb": {"get": None, "put": None, "get_many 100": None, "put_many 100": None},
}
_TARGET_DELAY_MILLISECONDS = 20.0
_SIZES = (1_000, 1_000_000)
_TARGET_GROWTH = 1.5
_TARGET_MEGABYTES = 4


def run(environments: Environments) -> list[Table]:
    tables = [_against_the_predecessor(environments, store) for store in _TARGET_RATIOS]
    return [*tables, _tick_delays(environments), *_scale(environments)]


def _against_the_predecessor(environments: Environments, store: str) -> Table:
    with (
        tempfile.TemporaryDirectory() as directory,
        Worker(environments.ours, "local_store", store, f"{directory}/ours") as ours,
        Worker(environments.predecessor, "local_store", store, f"{directory}/theirs") as theirs,
    ):
        best = {name: [float("inf"), float("inf")] for name in _TARGET_RATIOS[store]}
        for _ in range(_ROUNDS):
            for name, seconds in best.items():
                seconds[:] = min(seconds[0], ours.ask(name)), min(seconds[1], theirs.ask(name))
    rows: list[Row] = []
    for name, (own, other) in best.items():
        target, cells = _TARGET_RATIOS[store][name], [micro(own), micro(other)]
        ratio = other / own
        rows.append(
            Row(name, cells, "", f"{ratio:.2f}{TIMES}") if target is None else at_least(name, cells, target, ratio)
        )
    return Table(f"{store}", ("ours", PREDECESSOR), rows)


def _tick_delays(environments: Environments) -> Table:
    rows: list[Row] = []
    for store in _TARGET_RATIOS:
        with tempfile.TemporaryDirectory() as directory:
            longest_delays: dict[str, float] = measure(environments.ours, "local_store", store, directory, "late")
        rows += [
            at_most(f"{store}, 1000 puts {how}", [milli(seconds)], _TARGET_DELAY_MILLISECONDS, seconds * 1e3, " ms")
            for how, seconds in longest_delays.items()
        ]
    return Table("Delay of a 1 ms timer", ("longest",), rows)


def _scale(environments: Environments) -> list[Table]:
    measured: list[dict[str, float]] = []
    for size in _SIZES:
        with tempfile.TemporaryDirectory() as directory:
            measured.append(measure(environments.ours, "local_store", "disk", directory, str(size)))
    columns = [f"{size:,}" for size in _SIZES]
    small, large = measured
    growth = large["get"] / small["get"]
    get = at_most("get of any", [micro(each["get"]) for each in measured], _TARGET_GROWTH, growth, TIMES)
    beyond = [(each["peak"] - each["after"]) for each in measured]
    listing = at_most(
        "keys(): memory beyond the list", [mega(each) for each in beyond], _TARGET_MEGABYTES, beyond[1] / 1e6, " MB"
    )
    return [Table("disk: one call at a size", columns, [get, listing])]
