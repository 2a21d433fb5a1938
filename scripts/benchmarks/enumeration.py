"""What listing a million keys occupies besides the list itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.redis import RedisServer

from benchmarks.environments import measure
from benchmarks.report import Row, Table, at_most, mega

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_KEYS = 1_000_000
_LIMIT = 1000
# Pages are far smaller; below this the allocator decides what is measured.
_ASKED_MEGABYTES = 4


def run(environments: Environments) -> list[Table]:
    with RedisServer(private=True) as server:
        measure(environments.ours, "enumeration", "fill", server.url, str(_KEYS))
        rows = [
            _row("RedisStore", measure(environments.ours, "enumeration", "redis", server.url, str(limit)), limit)
            for limit in (0, _LIMIT)
        ]
    rows += [
        _row("MemoryStore", measure(environments.ours, "enumeration", "memory", str(_KEYS), str(limit)), limit)
        for limit in (0, _LIMIT)
    ]
    columns = ("keys", "time", "the list", "peak")
    return [Table(f"keys() of {_KEYS:,} entries: memory beyond the list", columns, rows)]


def _row(store: str, measured: dict[str, float], limit: int) -> Row:
    grown, peak = measured["after"] - measured["before"], measured["peak"] - measured["before"]
    cells = [f"{measured['keys']:,.0f}", f"{measured['seconds']:.2f} s", mega(grown), mega(peak)]
    name = f"{store}.keys({f'limit={limit}' if limit else ''})"
    return at_most(name, cells, _ASKED_MEGABYTES, (peak - grown) / 1e6, " MB")
