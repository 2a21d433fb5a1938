"""Number of round trips of a call to its server."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable

ROUND_TRIP = 5.0
"""Seconds by which a proxy delays each reply: more than a busy machine adds to two round trips."""


async def round_trips_of(*calls: Awaitable[object]) -> list[int]:
    """Make the calls concurrently through a proxy that delays by ROUND_TRIP; return the round trips of each."""
    return await asyncio.gather(*map(_round_trips_of, calls))


async def _round_trips_of(call: Awaitable[object]) -> int:
    start = time.monotonic()
    await call
    return int((time.monotonic() - start) / ROUND_TRIP)
