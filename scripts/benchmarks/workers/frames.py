"""Count the frames of key_value/aio that one warm call executes.

Argument: the URL of a Redis server. Prints {store: {operation: frames}}.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from documents import SMALL
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import FrameType

_OURS = os.path.join("key_value", "aio") + os.sep  # noqa: PTH118 — part of a path


async def frames(call: Callable[[], Awaitable[object]]) -> int:
    for _ in range(10):
        await call()
    # Keep the frame objects: a resumed coroutine is reported again with the same frame.
    seen: dict[int, FrameType] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and _OURS in frame.f_code.co_filename:
            seen[id(frame)] = frame

    sys.setprofile(note)
    try:
        await call()
    finally:
        sys.setprofile(None)
    return len(seen)


async def count(store: Any) -> dict[str, int]:
    await store.put("key", SMALL)
    return {
        "get": await frames(lambda: store.get("key")),
        "put": await frames(lambda: store.put("key", SMALL)),
        "put ttl": await frames(lambda: store.put("key", SMALL, ttl=3600)),
        "delete": await frames(lambda: store.delete("key")),
    }


async def main() -> None:
    async with RedisStore(url=sys.argv[1]) as redis_store:
        counts = {"MemoryStore": await count(MemoryStore()), "RedisStore": await count(redis_store)}
    print(json.dumps(counts))


if __name__ == "__main__":
    asyncio.run(main())
