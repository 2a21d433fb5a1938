"""Time calls of a NullStore, and of a pass-through wrapper around it.

Argument: the module with BaseWrapper. Prints {operation: [seconds direct, seconds wrapped]} for one call, the best of
many rounds that take turns.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from documents import SMALL
from key_value.aio.stores.null import NullStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ROUNDS = 40
_CALLS = 2000


async def seconds_for(call: Callable[[], Awaitable[object]]) -> float:
    started = time.perf_counter()
    for _ in range(_CALLS):
        await call()
    return (time.perf_counter() - started) / _CALLS


def operations(store: Any) -> dict[str, Callable[[], Awaitable[object]]]:
    return {
        "get": lambda: store.get("key", collection="collection"),
        "put": lambda: store.put("key", SMALL, collection="collection"),
        "put ttl": lambda: store.put("key", SMALL, collection="collection", ttl=3600),
        "delete": lambda: store.delete("key", collection="collection"),
    }


async def main() -> None:
    base: Any = importlib.import_module(sys.argv[1]).BaseWrapper

    class PassThrough(base):
        def __init__(self, key_value: Any) -> None:
            self.key_value = key_value

    store = NullStore()
    direct, wrapped = operations(store), operations(PassThrough(store))
    best = {name: [float("inf"), float("inf")] for name in direct}
    for _ in range(_ROUNDS):
        for name, seconds in best.items():
            seconds[0] = min(seconds[0], await seconds_for(direct[name]))
            seconds[1] = min(seconds[1], await seconds_for(wrapped[name]))
    print(json.dumps(best))


if __name__ == "__main__":
    asyncio.run(main())
