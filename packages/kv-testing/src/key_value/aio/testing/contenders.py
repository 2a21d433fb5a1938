"""Processes that concurrently write the same entries of a store, with conditional writes.

`python -m key_value.aio.testing.contenders MODULE:CLASS OPTIONS CONTEST PROCESSES`, with the constructor's keyword
arguments as JSON, forks PROCESSES processes. For each, it prints a line with the number of rounds it won.
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
"""Number of contested entries, or of increments by each contender."""

_COLLECTION = "contested"
_MAX_WAIT_SECONDS = 0.01


async def increment(store: Any, times: int, collection: str | None = None) -> int:
    """Increment the entry "counter" `times` times with conditional writes, and return `times`."""
    assert isinstance(store, AsyncVersionedProtocol)
    for _ in range(times):
        for attempt in range(1, sys.maxsize):
            found = await store.get_versioned("counter", collection=collection)
            count = 0 if found.value is None else found.value["count"]
            changed = {"count": count + 1}
            if await store.put_if_version("counter", changed, found.version, collection=collection):
                break
            # Random waits, so that losers do not retry at the same time.
            await asyncio.sleep(random.uniform(0, min(_MAX_WAIT_SECONDS, 0.0005 * attempt)))  # noqa: S311 — not for secrets
    return times


async def prepare(store: Any) -> None:
    """Put the entries that the contenders delete."""
    keys = [f"key {number}" for number in range(ROUNDS)]
    await store.put_many(keys, [{"a": 1}] * ROUNDS, collection=_COLLECTION)


async def contested_count(store: Any) -> int:
    """Return the sum of all contenders' increments."""
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
"""The work of a contender, by contest. Each function returns the number of rounds won."""


def contend(path: str, options: Mapping[str, Any], contest: str, processes: int = 4) -> list[int]:
    """Run the contest in processes that start together, and return the number of rounds won by each."""
    if not hasattr(os, "fork"):
        pytest.skip("needs os.fork")
    command = [sys.executable, "-m", __name__, path, json.dumps(options), contest, str(processes)]
    run = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)  # noqa: S603 — this module
    assert run.returncode == 0, "a contender failed; its traceback is on stderr"
    return [int(line) for line in run.stdout.split()]


def _serve(path: str, options: Mapping[str, Any], contest: str, processes: int) -> bool:
    """Return whether all contenders succeeded. They are forked because importing the kit takes seconds."""
    open_store(path, options)  # imports the store's modules before the fork
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
            except Exception:  # noqa: BLE001 — reported on stderr and by the exit status
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
        os.read(start, 1)  # returns when all are ready and the parent closes its end
        return await contest(store)


if __name__ == "__main__":
    sys.exit(not _serve(sys.argv[1], json.loads(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
