"""Many users of one store at once, for tests of a server that dies, freezes or comes back."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from key_value.aio.protocols import AsyncKeyValue

__all__ = ["Load"]

# Long enough for every user to be in the middle of a call.
_SECONDS_BEFORE = 0.3


@dataclass(frozen=True)
class Load:
    """`users` tasks, each of which makes one call after the other.

    A call may take `seconds`: the store's own time limit, and what a busy machine may add.
    """

    users: int
    seconds: float

    async def errors_after(self, store: AsyncKeyValue, disaster: Callable[[], None]) -> list[Exception]:
        """The error that ended the use of each user. `disaster` is called in a thread once all are under way.

        Raises AssertionError if the call that failed took longer than `seconds`.
        """
        users = [asyncio.create_task(_use_until_it_fails(store, number)) for number in range(self.users)]
        await asyncio.sleep(_SECONDS_BEFORE)
        await asyncio.to_thread(disaster)
        outcomes = await asyncio.gather(*users)
        slowest = max(seconds for _, seconds in outcomes)
        assert slowest < self.seconds, f"a call failed after {slowest:.1f} s: allowed are {self.seconds:g}"
        return [error for error, _ in outcomes]

    async def is_served(self, store: AsyncKeyValue) -> bool:
        """Whether a value that each user puts, all at once, is there afterwards. Raises the error of a call."""
        keys = [f"key {number}" for number in range(self.users)]
        await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
        return await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]


async def _use_until_it_fails(store: AsyncKeyValue, number: int) -> tuple[Exception, float]:
    """The error that ended the use of the store, and how many seconds that call took."""
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
            except Exception as error:  # noqa: BLE001 — the test looks at it
                return error, time.monotonic() - start
