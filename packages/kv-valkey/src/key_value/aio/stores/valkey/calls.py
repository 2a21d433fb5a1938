"""The calls that are under way, and how long each may be."""

from asyncio import AbstractEventLoop, Future, Task, TimerHandle, current_task, wait
from collections.abc import Callable
from math import inf
from typing import Any

__all__ = ["Call", "Calls"]

_LOOK_SECONDS = 0.1


class Call:
    """A call of the running task, from here to `Calls.end`."""

    __slots__ = ("_cancellations", "_task", "began_at", "deadline", "is_late")

    def __init__(self, began_at: float, seconds: float | None) -> None:
        self._task: Any = current_task()
        # Before Python 3.11 a task does not count them.
        self._cancellations: int = self._task.cancelling() if hasattr(Task, "cancelling") else 0
        self.began_at: float = began_at
        self.deadline: float = inf if seconds is None else began_at + seconds
        self.is_late: bool = False

    def cancel(self) -> None:
        self.is_late = True
        self._task.cancel()

    def is_cancelled_by_others(self) -> bool:
        """Whether a CancelledError is for the task that calls; asked once."""
        if not self.is_late:
            return True
        return hasattr(Task, "uncancel") and self._task.uncancel() > self._cancellations


class Calls:
    """One timer for all of them, which costs a tenth of one for each: it was a fifth of a `get`."""

    def __init__(self, loop: AbstractEventLoop, on_look: Callable[[], None]) -> None:
        """`on_look` runs every tenth of a second while calls are under way."""
        self._loop = loop
        self._on_look = on_look
        self._under_way: dict[Call, None] = {}
        self._quiet: Future[None] | None = None
        self._look: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._under_way)

    def begin(self, seconds: float | None) -> Call:
        """It is cancelled within a tenth of a second after its limit."""
        call = Call(self._loop.time(), seconds)
        self._under_way[call] = None
        if self._look is None:
            self._look = self._loop.call_later(_LOOK_SECONDS, self._look_again)
        return call

    def end(self, call: Call) -> None:
        """From here on its limit cancels nothing; it may have ended already."""
        self._under_way.pop(call, None)
        if not self._under_way and self._quiet is not None and not self._quiet.done():
            self._quiet.set_result(None)

    async def all_ended(self) -> None:
        while self._under_way:
            self._quiet = self._loop.create_future()
            await wait([self._quiet])

    def _look_again(self) -> None:
        self._look = None
        if not self._under_way:
            return
        self._look = self._loop.call_later(_LOOK_SECONDS, self._look_again)
        self._on_look()
        now = self._loop.time()
        for call in [each for each in self._under_way if each.deadline <= now and not each.is_late]:
            call.cancel()
