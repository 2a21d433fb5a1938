"""A process that shares a store with others: `process.py MODULE:CLASS OPTIONS COMMAND NUMBER`.

OPTIONS are the constructor's arguments as JSON. `count` increments in ten tasks, NUMBER times each. `hold` acquires a
lock with a lease of NUMBER seconds and prints its fencing number; after a line of input it prints whether the lock is
held.
"""

import asyncio
import json
import sys
from typing import Any

from key_value.aio.atomic import Lock, LockLostError, increment
from versioned_stores import open_store

TASKS = 10


async def count(store: Any, number: int) -> None:
    async def work() -> None:
        for _ in range(number):
            await increment(store, "key")

    await asyncio.gather(*(work() for _ in range(TASKS)))


async def hold(store: Any, lease: float) -> None:
    lock = Lock(store, "job", lease=lease)
    await lock.acquire()
    print(lock.fence, flush=True)  # noqa: T201 — read by the parent process
    sys.stdin.readline()  # stalls the loop, so that nothing is renewed
    held = lock.held
    try:
        await lock.release()
    except LockLostError:
        print(f"lost, and held was {held}", flush=True)  # noqa: T201
    else:
        print(f"released, and held was {held}", flush=True)  # noqa: T201


async def main(path: str, options: str, command: str, number: str) -> None:
    async with open_store(path, json.loads(options)) as store:
        await (count(store, int(number)) if command == "count" else hold(store, float(number)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
