"""A process that shares a directory with others: `process.py DIRECTORY COMMAND NUMBER`.

It prints a line when the store is open, and begins when it reads one. `count` increments by compare-and-swap NUMBER
times; `claim` calls `put_if_absent` for each of NUMBER keys, `delete` deletes them, and both print how many answered
True.
"""

import asyncio
import sys

from key_value.aio.stores.disk import DiskStore


async def increment(store: DiskStore) -> None:
    while True:
        value, _, version = await store.get_versioned("counter")
        count = 0 if value is None else value["count"]
        if await store.put_if_version("counter", {"count": count + 1}, version):
            return


async def main(directory: str, command: str, number: int) -> None:
    async with DiskStore(directory=directory) as store:
        print("open", flush=True)  # noqa: T201 — to whoever started it
        sys.stdin.readline()
        keys = [str(each) for each in range(number)]
        if command == "count":
            for _ in keys:
                await increment(store)
        elif command == "claim":
            print(sum([await store.put_if_absent(key, {}) for key in keys]))  # noqa: T201
        else:
            print(sum([await store.delete(key) for key in keys]))  # noqa: T201


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
