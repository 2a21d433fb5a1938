"""RedisStore against what an application writes by hand: redis-py with hiredis, json.dumps and json.loads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.redis import RedisServer

from benchmarks.environments import measure
from benchmarks.report import Table, at_least, micro

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_ASKED_OF_ONE, _ASKED_OF_BATCHES = 0.95, 1.0


def run(environments: Environments) -> list[Table]:
    with RedisServer(private=True) as server:
        seconds: dict[str, list[float]] = measure(environments.ours, "redis_store", server.url)
        version = server.version
    rows = [
        at_least(
            name,
            [micro(own), micro(by_hand)],
            _ASKED_OF_BATCHES if "_many" in name else _ASKED_OF_ONE,
            by_hand / own,
        )
        for name, (own, by_hand) in seconds.items()
    ]
    return [Table(f"RedisStore on Redis {version}; batches of 100", ("ours", "by hand"), rows)]
