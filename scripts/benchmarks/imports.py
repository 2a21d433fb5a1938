"""Import times, in fresh interpreters that take turns."""

from __future__ import annotations

import statistics
import subprocess
import time
from typing import TYPE_CHECKING

from predecessor import PREDECESSOR

from benchmarks.report import Row, Table, at_most, milli

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.environments import Environments

__all__ = ["run"]

_ROUNDS = 21
_PROTOCOL = "from key_value.aio.protocols import AsyncKeyValue"
_MEMORY = "from key_value.aio.stores.memory import MemoryStore"
_TARGET_MILLISECONDS = {_PROTOCOL: 15.0, _MEMORY: 40.0}
_FOR_COMPARISON = ("import typing", "import asyncio", "import orjson")


def run(environments: Environments) -> list[Table]:
    ours, theirs = environments.ours, environments.predecessor
    bare = (ours, "pass")
    fresh = [bare, *((ours, each) for each in (*_FOR_COMPARISON, *_TARGET_MILLISECONDS))]
    fresh += [(theirs, each) for each in ("pass", *_TARGET_MILLISECONDS)]
    for each in fresh:
        _seconds(*each)  # writes the bytecode
    samples = {each: list[float]() for each in fresh}
    for _ in range(_ROUNDS):
        for each, seconds in samples.items():
            seconds.append(_seconds(*each))
    median = {each: statistics.median(seconds) for each, seconds in samples.items()}

    rows = [Row("bare Python", [milli(median[bare]), milli(median[theirs, "pass"])])]
    rows += [Row(each, [milli(median[ours, each] - median[bare]), ""]) for each in _FOR_COMPARISON]
    for each, target in _TARGET_MILLISECONDS.items():
        over = median[ours, each] - median[bare]
        cells = [milli(over), milli(median[theirs, each] - median[theirs, "pass"])]
        rows.append(at_most(each, cells, target, over * 1e3, " ms"))
    return [Table(f"Imports: milliseconds over bare Python, median of {_ROUNDS}", ("ours", PREDECESSOR), rows)]


def _seconds(python: Path, statement: str) -> float:
    started = time.perf_counter()
    # -I: with PYTHONDONTWRITEBYTECODE, the compilation would be measured.
    subprocess.run([python, "-I", "-c", statement], check=True)
    return time.perf_counter() - started
