"""Processes that write the same entries of one store at once, with conditional writes.

`python -m key_value.aio.testing.contenders MODULE:CLASS OPTIONS CONTEST PROCESSES`, with the constructor's keyword
arguments as JSON, forks so many processes, and prints a line for each: in how many rounds it won.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from key_value.aio.protocols import AsyncPutIfAbsentProtocol, AsyncVersionedProtocol
from key_value.aio.testing.running import closing
from key_value.aio.testing.writers import open_store

__all__ = ["CONTESTS", "ROUNDS", "contend", "contested_count", "increment", "prepare"]

ROUNDS = 25
"""Entries that a contest is about, or increments of each contender."""

_COLLECTION = "contested"
_LONGEST_WAIT = 0.01


async def increment(store: Any, times: int, collection: str | None = None) -> int:
    """Count the entry "counter" up, each time from the number that is there; as many times."""
    assert isinstance(store, AsyncVersionedProtocol)
    for _ in range(times):
        for attempt in range(1, sys.maxsize):
            found = await store.get_versioned("counter", collection=collection)
            count = 0 if found.value is None else found.value["count"]
            changed = {"count": count + 1}
            if await store.put_if_version("counter", changed, found.version, collection=collection):
                break
            # Those who lost come back one by one.
            await asyncio.sleep(random.uniform(0, min(_LONGEST_WAIT, 0.0005 * attempt)))  # noqa: S311 — not for secrets
    return times


async def prepare(store: Any) -> None:
    """Put what the contenders delete."""
    keys = [f"key {number}" for number in range(ROUNDS)]
    await store.put_many(keys, [{"a": 1}] * ROUNDS, collection=_COLLECTION)


async def contested_count(store: Any) -> int:
    """The sum of all contenders' increments."""
    return (await store.get("counter", collection=_COLLECTION))["count"]


async def _put_if_absent(store: Any) -> int:
    assert isinstance(store, AsyncPutIfAbsentProtocol)
    return sum([await store.put_if_absent(f"absent {n}", {"a": 1}, collection=_COLLECTION) for n in range(ROUNDS)])


async def _delete(store: Any) -> int:
    return sum([await store.delete(f"key {number}", collection=_COLLECTION) for number in range(ROUNDS)])


async def _delete_if_version(store: Any) -> int:
    won = 0
    for number in range(ROUNDS):
        found = await store.get_versioned(f"key {number}", collection=_COLLECTION)
        if found.version is not None:
            won += await store.delete_if_version(f"key {number}", found.version, collection=_COLLECTION)
    return won


async def _increment(store: Any) -> int:
    return await increment(store, ROUNDS, _COLLECTION)


CONTESTS: dict[str, Callable[[Any], Awaitable[int]]] = {
    "put_if_absent": _put_if_absent,
    "delete": _delete,
    "delete_if_version": _delete_if_version,
    "increment": _increment,
}
"""The work of a contender, which returns how many of its rounds it won."""


def contend(path: str, options: Mapping[str, Any], contest: str, processes: int = 4) -> list[int]:
    """How many rounds each of the processes won, which start together."""
    if not hasattr(os, "fork"):
        pytest.skip("contenders are forked, which this platform cannot")
    command = [sys.executable, "-m", __name__, path, json.dumps(options), contest, str(processes)]
    run = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603 — this module
    assert run.returncode == 0, "a contender ended by itself; what it raised is on stderr"
    return [int(line) for line in run.stdout.split()]


def _serve(path: str, options: Mapping[str, Any], contest: str, processes: int) -> bool:
    """Whether all contenders came to the end. They are forked, because to import the kit takes seconds."""
    open_store(path, options)  # imports what it needs
    is_ready, ready = os.pipe()
    start, hold = os.pipe()
    children: list[int] = []
    for _ in range(processes):
        child = os.fork()
        if not child:
            status = 1
            try:
                os.close(hold)
                won = asyncio.run(_contend(open_store(path, options), CONTESTS[contest], ready, start))
                os.write(1, f"{won}\n".encode())
                status = 0
            except Exception:  # noqa: BLE001 — told on stderr, and by the status
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        children.append(child)
    os.close(ready)
    for _ in children:
        os.read(is_ready, 1)
    os.close(hold)
    return [os.waitpid(child, 0)[1] for child in children] == [0] * processes


async def _contend(store: Any, contest: Callable[[Any], Awaitable[int]], ready: int, start: int) -> int:
    async with closing(store):
        await store.get("absent", collection=_COLLECTION)
        os.write(ready, b".")
        os.read(start, 1)  # until all are ready, and the process that forked them closes its end
        return await contest(store)


if __name__ == "__main__":
    sys.exit(not _serve(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
