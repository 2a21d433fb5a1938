"""Stores on servers against hand-written code on the native client, and against the predecessor.

Each backend is one file, workers/network_NAME.py, with the server scripts/servers/NAME.py and the package kv-NAME.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers import discover

from benchmarks.environments import NETWORK, measure
from benchmarks.report import TIMES, Row, Table, at_least, milli

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_TARGET_SINGLE_CALLS, _TARGET_BATCHES = 0.9, 1.0
_TARGETS_AGAINST_PREDECESSOR = {
    "postgresql": 5,
    "dynamodb": 5,
    "firestore": 1,
    "s3": 3,
    "valkey": 2,
    "memcached": 2,
    "vault": 5,
    "aerospike": 5,
    "opensearch": 5,
    "elasticsearch": 5,
}


def run(environments: Environments) -> list[Table]:
    return [table for backend in NETWORK for table in _tables(backend, environments)]


def _tables(backend: str, environments: Environments) -> list[Table]:
    with discover()[backend](private=True) as server:
        # {operation: [seconds with the store, seconds with the native client]}
        ours: dict[str, list[float]] = measure(environments.ours, f"network_{backend}", server.environment_value)
        theirs: dict[str, list[float]] = measure(
            environments.predecessor, f"network_{backend}", server.environment_value
        )
        title = f"{backend} {server.version}"
    by_hand = [
        at_least(
            name,
            [milli(own), milli(raw)],
            _TARGET_BATCHES if "_many" in name else _TARGET_SINGLE_CALLS,
            raw / own,
        )
        for name, (own, raw) in ours.items()
    ]
    against = [_against(backend, name, own, theirs[name][0]) for name, (own, _) in ours.items()]
    return [
        Table(f"{title}, by hand; 16 at once, batches of 100", ("ours", "by hand"), by_hand),
        Table(f"{title}, predecessor; 16 at once, batches of 100", ("ours", "predecessor"), against),
    ]


def _against(backend: str, name: str, own: float, theirs: float) -> Row:
    cells = [milli(own), milli(theirs)]
    if name not in ("get_many", "put_many"):
        return Row(name, cells, measured=f"{theirs / own:.2f}{TIMES}")
    return at_least(name, cells, _TARGETS_AGAINST_PREDECESSOR.get(backend, 1), theirs / own)
