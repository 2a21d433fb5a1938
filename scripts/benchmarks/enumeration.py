"""Memory for listing a million keys, in addition to the list itself, and for iterating over them."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from servers.redis import RedisServer

from benchmarks.environments import measure
from benchmarks.report import Row, Table, at_most, mega

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_KEYS = 1_000_000
_LIMIT = 1000
# Pages are far smaller, but below this the allocator dominates the measurement.
_TARGET_LIST_MEGABYTES = 4
_TARGET_WALK_MEGABYTES = 20


def run(environments: Environments) -> list[Table]:
    with RedisServer(private=True) as server, tempfile.TemporaryDirectory() as folder:
        urls = {
            "RedisStore": server.url,
            "DiskStore": f"disk://{folder}/disk",
            "RocksDBStore": f"rocksdb://{folder}/rocks",
        }
        for url in urls.values():
            measure(environments.ours, "enumeration", "fill", url, str(_KEYS))
        listed = [
            _listed("RedisStore", measure(environments.ours, "enumeration", "keys", server.url, str(limit)), limit)
            for limit in (0, _LIMIT)
        ]
        walked = [
            _walked(f"{walk}({store})", measure(environments.ours, "enumeration", "iterate", url, walk))
            for store, url in urls.items()
            for walk in ("iterate_keys", "iterate_entries")
        ]
    listed += [
        _listed("MemoryStore", measure(environments.ours, "enumeration", "memory", str(_KEYS), str(limit)), limit)
        for limit in (0, _LIMIT)
    ]
    return [
        Table(f"keys() of {_KEYS:,} entries: memory beyond the list", ("keys", "time", "the list", "peak"), listed),
        Table(f"Iteration over {_KEYS:,} entries: memory", ("entries", "time", "kept"), walked),
    ]


def _listed(store: str, measured: dict[str, float], limit: int) -> Row:
    grown, peak = measured["after"] - measured["before"], measured["peak"] - measured["before"]
    cells = [f"{measured['keys']:,.0f}", f"{measured['seconds']:.2f} s", mega(grown), mega(peak)]
    name = f"{store}.keys({f'limit={limit}' if limit else ''})"
    return at_most(name, cells, _TARGET_LIST_MEGABYTES, (peak - grown) / 1e6, " MB")


def _walked(name: str, measured: dict[str, float]) -> Row:
    cells = [f"{measured['keys']:,.0f}", f"{measured['seconds']:.2f} s", mega(measured["after"] - measured["before"])]
    return at_most(name, cells, _TARGET_WALK_MEGABYTES, (measured["peak"] - measured["before"]) / 1e6, " MB")
