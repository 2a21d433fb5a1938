"""The calls in flight, with their time limits."""

from asyncio import AbstractEventLoop, Future, Task, TimerHandle, current_task, wait
from collections.abc import Callable
from math import inf
from typing import Any

__all__ = ["CallDeadlines", "TimedCall"]

_CHECK_INTERVAL_SECONDS = 0.1


class TimedCall:
    """A call of the running task, from the creation of this object to `CallDeadlines.end`."""

    __slots__ = ("_cancellations", "_task", "deadline", "started_at", "timed_out")

    def __init__(self, started_at: float, seconds: float | None) -> None:
        self._task: Any = current_task()
        # Before Python 3.11, a task does not count its cancellations.
        self._cancellations: int = self._task.cancelling() if hasattr(Task, "cancelling") else 0
        self.started_at: float = started_at
        self.deadline: float = inf if seconds is None else started_at + seconds
        self.timed_out: bool = False

    def cancel(self) -> None:
        self.timed_out = True
        self._task.cancel()

    def is_cancelled_by_others(self) -> bool:
        """Whether a CancelledError comes from outside, not from the time limit. Call it only once."""
        if not self.timed_out:
            return True
        return hasattr(Task, "uncancel") and self._task.uncancel() > self._cancellations


class CallDeadlines:
    """Enforces the time limits of all calls with one timer: a timer for each call took a fifth of a `get`, ten times
    as much.
    """

    def __init__(self, loop: AbstractEventLoop, on_check: Callable[[], None]) -> None:
        """`on_check` runs every tenth of a second while calls are in flight."""
        self._loop = loop
        self._on_check = on_check
        self._in_flight: dict[TimedCall, None] = {}
        self._idle: Future[None] | None = None
        self._timer: TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._in_flight)

    def begin(self, seconds: float | None) -> TimedCall:
        """Register a call of the running task, which is cancelled within 0.1 s after its time limit."""
        call = TimedCall(self._loop.time(), seconds)
        self._in_flight[call] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_CHECK_INTERVAL_SECONDS, self._check)
        return call

    def end(self, call: TimedCall) -> None:
        """Stop enforcing the call's time limit. May be called again for the same call."""
        self._in_flight.pop(call, None)
        if not self._in_flight and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    async def wait_until_idle(self) -> None:
        while self._in_flight:
            self._idle = self._loop.create_future()
            await wait([self._idle])

    def _check(self) -> None:
        self._timer = None
        if not self._in_flight:
            return
        self._timer = self._loop.call_later(_CHECK_INTERVAL_SECONDS, self._check)
        self._on_check()
        now = self._loop.time()
        for call in [each for each in self._in_flight if each.deadline <= now and not each.timed_out]:
            call.cancel()
