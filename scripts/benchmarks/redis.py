"""RedisStore against hand-written code: redis-py with hiredis, json.dumps and json.loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.redis import RedisServer

from benchmarks.environments import measure
from benchmarks.report import Table, at_least, at_most, micro

if TYPE_CHECKING:
    from benchmarks.environments import Environments
    from benchmarks.report import Row

__all__ = ["run"]

# Number of concurrent callers → speed relative to hand-written code.
_TARGET_SINGLE_CALLS = {1: 1.5, 16: 3.5, 100: 6.0}
_TARGET_BATCHES = 1.0
_MAX_P99_TO_MEDIAN = 10
_FEWER = "ours with fewer"
_PERCENTILES = ("p50", "p99")


def run(environments: Environments) -> list[Table]:
    with RedisServer(private=True) as server:
        results: dict[str, dict[str, float]] = measure(environments.ours, "redis_store", server.url)
        version = server.version
    compared = [_compared(name, result) for name, result in results.items() if "by hand" in result]
    crowded = [row for name, result in results.items() if _FEWER in result for row in _crowded(name, result)]
    title = f"RedisStore on Redis {version}: call @ concurrent callers"
    return [
        Table(f"{title}; batches of 100", ("ours", "by hand", *_PERCENTILES), compared),
        Table(f"{title}, compared with 100 callers", ("ours", "of 100", *_PERCENTILES), crowded),
    ]


def _cells(result: dict[str, float], other: str) -> list[str]:
    return [micro(result[name]) for name in ("ours", other, *_PERCENTILES)]


def _compared(name: str, result: dict[str, float]) -> Row:
    operation, _, callers = name.partition(" @ ")
    target = _TARGET_BATCHES if "_many" in operation else _TARGET_SINGLE_CALLS[int(callers)]
    return at_least(name, _cells(result, "by hand"), target, result["by hand"] / result["ours"])


def _crowded(name: str, result: dict[str, float]) -> list[Row]:
    cells = _cells(result, _FEWER)
    return [
        at_least(f"{name}: throughput", cells, 1.0, result[_FEWER] / result["ours"]),
        at_most(f"{name}: p99 in medians", cells, _MAX_P99_TO_MEDIAN, result["p99"] / result["p50"]),
    ]
