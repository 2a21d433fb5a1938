"""A queue of calls to one server, and the connection that it opens, watches and replaces."""

import random
import sys
from asyncio import Future, Task, TimerHandle, get_running_loop, sleep, wait
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Awaitable, Callable
from itertools import chain
from math import inf
from typing import Any

from key_value.aio.stores.redis.connection import BIG_BYTES, Call, Connection, ConnectionLostError, DeadlineError, Owner

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["Lane", "Open"]

Open = Callable[[Owner], Awaitable[Connection]]
"""Opens a connection that is ready for commands."""

# Of what is sent at once: as much as a system's buffer takes. The rest waits where it can still be called off.
_WRITTEN_BYTES = 256 * 1024
# A server that is away is looked for after so many seconds, twice as many after each failure.
_LEAST_PAUSE = 0.01
_MOST_PAUSE = 0.25


class Lane:
    """Calls that wait to be sent are certainly not executed: they move to the next connection.

    All methods are for the event loop in which it is made.
    """

    def __init__(self, open_: Open, seconds: float | None, on_big: Callable[[], None]) -> None:
        """`seconds` are the limit for opening a connection, None for no limit."""
        self.on_big = on_big
        self.connection: Connection | None = None
        self._open = open_
        self._seconds = seconds
        self._loop = get_running_loop()
        self._now = self._loop.time
        self._waiting: list[Call] = []
        self._waiting_bytes = 0
        self._flushing = False
        self._opening: Task[None] | None = None
        self._failures = 0
        self._failed_at = -inf
        self._alarm: TimerHandle | None = None
        self._alarm_at = inf

    def load(self) -> int:
        """How many calls wait here."""
        return len(self._waiting) + (0 if self.connection is None else len(self.connection.calls))

    def send(self, packed: bytes, replies: int, seconds: float | None, deadline: float | None = None) -> "Future[Any]":
        """The future answer to what is packed. Never fails: an error is the answer."""
        answer = self._loop.create_future()
        if deadline is None:
            deadline = inf if seconds is None else self._now() + seconds
        self._waiting.append((answer, packed, replies, deadline, seconds))
        size = len(packed)
        self._waiting_bytes += size
        if size > BIG_BYTES:
            self.on_big()
        if deadline < self._alarm_at:
            self._set_alarm(deadline)
        if not self._flushing:
            # In the next turn, with whatever else is asked in this one. By then the loop also knows whether the server
            # has closed the connection while nobody used it.
            self._flushing = True
            self._loop.call_soon(self._flush)
        return answer

    def _flush(self) -> None:
        self._flushing = False
        connection = self.connection
        if connection is None:
            if self._opening is None and self._waiting:
                self._opening = self._loop.create_task(self._connect())
            return
        while self._waiting and not connection.paused:
            self._write(connection)

    def _write(self, connection: Connection) -> None:
        waiting = self._waiting
        if self._waiting_bytes <= _WRITTEN_BYTES:
            self._waiting, self._waiting_bytes = [], 0
        else:
            size = count = 0
            while count < len(waiting) and size < _WRITTEN_BYTES:
                size += len(waiting[count][1])
                count += 1
            waiting, self._waiting = waiting[:count], waiting[count:]
            self._waiting_bytes -= size
        # What was called off, or told to have taken too long, is not done behind the caller's back.
        calls = [call for call in waiting if not call[0].done()]
        if calls:
            connection.send(calls)

    async def _connect(self) -> None:
        waiting = 0
        try:
            await sleep(max(0.0, self._failed_at + self._pause() - self._now()))
            # Whoever comes while the attempt is under way may see it succeed, but has the next one if it fails.
            waiting = len(self._waiting)
            self.connection = await self._open_in_time()
            self._failures = 0
        except Exception as exc:  # noqa: BLE001 — raised by each who waits
            self._failures += 1
            self._failed_at = self._now()
            self._answer_waiting(waiting, exc)
        except BaseException:
            # The event loop ends, or the client.
            self._answer_waiting(None, ConnectionLostError("the connection was given up while it opened"))
            raise
        finally:
            self._opening = None
        self._flush()

    def _pause(self) -> float:
        if not self._failures:
            return 0.0
        # Several processes that lost the same server do not all come back at once.
        return min(_MOST_PAUSE, _LEAST_PAUSE * 2.0**self._failures) * random.uniform(0.5, 1.0)  # noqa: S311

    async def _open_in_time(self) -> Connection:
        try:
            async with timeout(self._seconds):
                return await self._open(self)
        except AsyncioTimeoutError as exc:
            message = "no connection in time" if self._seconds is None else f"no connection within {self._seconds:g} s"
            raise DeadlineError(message) from exc

    def _answer_waiting(self, count: int | None, error: Exception) -> None:
        """Answer the first of those that wait, None for all, with the error."""
        for answer, packed, *_ in self._waiting[:count]:
            self._waiting_bytes -= len(packed)
            if not answer.done():
                answer.set_result(error)
        del self._waiting[:count]

    def on_room(self) -> None:
        self._flush()

    def on_lost(self) -> None:
        if self.connection is not None and self.connection.lost:
            self.connection = None
            self._flush()

    # Deadlines: one timer for all calls, set to the earliest.

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = when
        self._alarm = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._alarm, self._alarm_at = None, inf
        now = self._now()
        earliest = inf
        sent = () if self.connection is None else self.connection.calls
        for answer, _, _, deadline, seconds in chain(sent, self._waiting):
            if deadline > now:
                earliest = min(earliest, deadline)
            elif not answer.done():
                answer.set_result(DeadlineError(f"no answer within {seconds:g} s"))
        if sent:
            earliest = min(earliest, self._check_progress(sent[0], now))
        if earliest < inf:
            self._set_alarm(earliest)

    def _check_progress(self, oldest: Call, now: float) -> float:
        """Drop a connection that has stopped answering; otherwise, when to look again."""
        *_, deadline, seconds = oldest
        connection = self.connection
        if connection is None or seconds is None or deadline > now:
            return inf
        # What still comes, comes to those who wait behind a call that was given up; but not for ever.
        until = min(connection.heard_at, deadline) + seconds
        if until > now:
            return until
        connection.drop(DeadlineError(f"no answer within {seconds:g} s, and the connection was dropped"))
        return inf

    # The end

    async def close(self) -> None:
        """Have every call answered, then end the connection; at once when this is cancelled."""
        try:
            while unanswered := self._unanswered():
                await wait(unanswered)
            if self._opening is not None:
                self._opening.cancel()
                await wait([self._opening])
            if self.connection is not None:
                await self.connection.close()
        finally:
            self._end()

    def _end(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
        if self.connection is not None:
            self.connection.drop(ConnectionLostError("the store was closed"))

    def _unanswered(self) -> list["Future[Any]"]:
        sent = () if self.connection is None else self.connection.calls
        return [call[0] for call in chain(sent, self._waiting) if not call[0].done()]
