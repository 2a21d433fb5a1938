"""Concurrent load on one store, for tests of a server that dies, freezes or recovers."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from key_value.aio.protocols import AsyncKeyValue

__all__ = ["Load"]

# Long enough for every user to have a call in flight.
_SECONDS_UNDER_LOAD = 0.3


@dataclass(frozen=True)
class Load:
    """`users` concurrent tasks that each make one call after another.

    A call may take up to `seconds`: the store's own timeout, plus a margin for a busy machine.
    """

    users: int
    seconds: float

    async def errors_after(self, store: AsyncKeyValue, disaster: Callable[[], None]) -> list[Exception]:
        """Return the first error of each user. `disaster` is called in a thread once all users have calls in flight.

        Raises AssertionError if a failed call took longer than `seconds`.
        """
        users = [asyncio.create_task(_use_until_it_fails(store, number)) for number in range(self.users)]
        await asyncio.sleep(_SECONDS_UNDER_LOAD)
        await asyncio.to_thread(disaster)
        outcomes = await asyncio.gather(*users)
        slowest = max(seconds for _, seconds in outcomes)
        assert slowest < self.seconds, f"a call failed after {slowest:.1f} s: at most {self.seconds:g} s are allowed"
        return [error for error, _ in outcomes]

    async def is_served(self, store: AsyncKeyValue) -> bool:
        """Put a value for each user, concurrently; return whether all can be read. Raises the error of any call."""
        keys = [f"key {number}" for number in range(self.users)]
        await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
        return await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]


async def _use_until_it_fails(store: AsyncKeyValue, number: int) -> tuple[Exception, float]:
    """Return the first error, and the duration of the failed call in seconds."""
    key = f"key {number}"
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.put(key, {"n": number}),
        lambda: store.get(key),
        lambda: store.put_many([key], [{"n": number}], ttl=60),
        lambda: store.get_many([key, "absent"]),
        lambda: store.delete_many([f"{key} of another", "absent"]),
    ]
    while True:
        for call in calls:
            start = time.monotonic()
            try:
                await call()
            except Exception as error:  # noqa: BLE001 — the test checks it
                return error, time.monotonic() - start
