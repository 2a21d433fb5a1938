"""Time that a pass-through wrapper adds to a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predecessor import PREDECESSOR

from benchmarks.environments import measure
from benchmarks.report import Table, at_most, micro

if TYPE_CHECKING:
    from benchmarks.environments import Environments

__all__ = ["run"]

_TARGET_MICROSECONDS = 1
_OUR_MODULE = "key_value.aio.core.wrappers"
_THEIR_MODULE = "key_value.aio.wrappers.base"


def run(environments: Environments) -> list[Table]:
    theirs = _added(measure(environments.predecessor, "wrapper", _THEIR_MODULE))
    ours = _added(measure(environments.ours, "wrapper", _OUR_MODULE))
    rows = [
        at_most(name, [micro(own), micro(theirs[name])], _TARGET_MICROSECONDS, own * 1e6, " µs")
        for name, own in ours.items()
    ]
    return [Table("A pass-through wrapper, added to a call", ("ours", PREDECESSOR), rows)]


def _added(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {name: wrapped - direct for name, (direct, wrapped) in seconds.items()}
