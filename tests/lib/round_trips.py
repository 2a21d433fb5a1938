"""Number of round trips of a call to its server."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from key_value.aio.testing import FaultProxy

ROUND_TRIP = 5.0
"""Seconds by which a proxy delays each reply: more than a busy machine adds to two round trips."""


async def round_trips_of(*calls: Awaitable[object]) -> list[int]:
    """Make the calls concurrently through a proxy that delays by ROUND_TRIP; return the round trips of each."""
    return await asyncio.gather(*map(_round_trips_of, calls))


async def round_trips_through(
    proxy: FaultProxy, make_store: Callable[[], Any], calls: Iterable[Callable[[Any], Awaitable[object]]]
) -> list[int]:
    """Return the round trips of each call, made on its own store that is already connected through the proxy."""
    async with AsyncExitStack() as stack:
        connected: list[Awaitable[object]] = []
        for call in calls:
            store = await stack.enter_async_context(make_store())
            await store.get("key")
            await store.get_many(["key"])
            connected.append(call(store))
        proxy.delay(ROUND_TRIP)
        return await round_trips_of(*connected)


async def _round_trips_of(call: Awaitable[object]) -> int:
    start = time.monotonic()
    await call
    return int((time.monotonic() - start) / ROUND_TRIP)
