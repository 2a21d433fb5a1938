"""A queue of calls to one server, with a connection that it opens, monitors and replaces."""

import random
import sys
from asyncio import Future, Task, TimerHandle, get_running_loop, sleep, wait
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Awaitable, Callable
from itertools import chain
from math import inf
from typing import Any

from key_value.aio.stores.redis.connection import (
    LARGE_BYTES,
    Call,
    Connection,
    ConnectionLostError,
    DeadlineError,
    Owner,
)

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["Channel", "OpenConnection"]

OpenConnection = Callable[[Owner], Awaitable[Connection]]
"""Opens a connection that is ready for commands."""

# The size of a write: what the system's socket buffer accepts. Calls beyond it stay queued and can still be cancelled.
_MAX_WRITE_BYTES = 256 * 1024
# The pause before a reconnection doubles after each failure.
_MIN_RECONNECT_PAUSE_SECONDS = 0.01
_MAX_RECONNECT_PAUSE_SECONDS = 0.25


class Channel:
    """Queued calls are certainly not executed, so they move to the next connection.

    All methods must run in the event loop that created the object.
    """

    def __init__(self, open_: OpenConnection, seconds: float | None, on_large: Callable[[], None]) -> None:
        """`seconds` is the time limit for opening a connection, None for no limit."""
        self.on_large = on_large
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
        self._timer: TimerHandle | None = None
        self._timer_at = inf

    def load(self) -> int:
        """Return the number of calls queued or in flight."""
        return len(self._waiting) + (0 if self.connection is None else len(self.connection.calls))

    def send(self, packed: bytes, replies: int, seconds: float | None, deadline: float | None = None) -> "Future[Any]":
        """Queue the encoded commands. The future never fails: an error is its result."""
        answer = self._loop.create_future()
        if deadline is None:
            deadline = inf if seconds is None else self._now() + seconds
        self._waiting.append((answer, packed, replies, deadline, seconds))
        size = len(packed)
        self._waiting_bytes += size
        if size > LARGE_BYTES:
            self.on_large()
        if deadline < self._timer_at:
            self._set_timer(deadline)
        if not self._flushing:
            # In the next iteration of the event loop, together with the other calls of this one. By then the loop has
            # also noticed whether the server closed the idle connection.
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
        if self._waiting_bytes <= _MAX_WRITE_BYTES:
            self._waiting, self._waiting_bytes = [], 0
        else:
            size = count = 0
            while count < len(waiting) and size < _MAX_WRITE_BYTES:
                size += len(waiting[count][1])
                count += 1
            waiting, self._waiting = waiting[:count], waiting[count:]
            self._waiting_bytes -= size
        # Calls that were cancelled or have timed out must not be executed.
        calls = [call for call in waiting if not call[0].done()]
        if calls:
            connection.send(calls)

    async def _connect(self) -> None:
        waiting = 0
        try:
            await sleep(max(0.0, self._failed_at + self._pause() - self._now()))
            # Calls that arrive during the attempt benefit from its success, but wait for the next one if it fails.
            waiting = len(self._waiting)
            self.connection = await self._open_in_time()
            self._failures = 0
        except Exception as exc:  # noqa: BLE001 — raised by each waiting caller
            self._failures += 1
            self._failed_at = self._now()
            self._answer_waiting(waiting, exc)
        except BaseException:
            # The event loop or the store is closing.
            self._answer_waiting(None, ConnectionLostError("the connection attempt was cancelled"))
            raise
        finally:
            self._opening = None
        self._flush()

    def _pause(self) -> float:
        if not self._failures:
            return 0.0
        # Random jitter spreads out the processes that lost the same server.
        pause = min(_MAX_RECONNECT_PAUSE_SECONDS, _MIN_RECONNECT_PAUSE_SECONDS * 2.0**self._failures)
        return pause * random.uniform(0.5, 1.0)  # noqa: S311

    async def _open_in_time(self) -> Connection:
        try:
            async with timeout(self._seconds):
                return await self._open(self)
        except AsyncioTimeoutError as exc:
            message = "no connection in time" if self._seconds is None else f"no connection within {self._seconds:g} s"
            raise DeadlineError(message) from exc

    def _answer_waiting(self, count: int | None, error: Exception) -> None:
        """Answer the first `count` queued calls, None for all, with the error."""
        for answer, packed, *_ in self._waiting[:count]:
            self._waiting_bytes -= len(packed)
            if not answer.done():
                answer.set_result(error)
        del self._waiting[:count]

    def on_writable(self) -> None:
        self._flush()

    def on_lost(self) -> None:
        if self.connection is not None and self.connection.lost:
            self.connection = None
            self._flush()

    # Deadlines: one timer for all calls, set to the earliest deadline

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._loop.call_at(when, self._expire)

    def _expire(self) -> None:
        self._timer, self._timer_at = None, inf
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
            self._set_timer(earliest)

    def _check_progress(self, oldest: Call, now: float) -> float:
        """Drop a connection that has stopped answering; otherwise return when to check again."""
        *_, deadline, seconds = oldest
        connection = self.connection
        if connection is None or seconds is None or deadline > now:
            return inf
        # While data still arrives, calls behind an abandoned one may be answered; so keep the connection, but not
        # forever.
        until = min(connection.last_received_at, deadline) + seconds
        if until > now:
            return until
        connection.drop(DeadlineError(f"no answer within {seconds:g} s, and the connection was dropped"))
        return inf

    # Closing

    async def close(self) -> None:
        """Wait for the calls in flight, then close the connection; close it at once when cancelled."""
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
        if self._timer is not None:
            self._timer.cancel()
        if self.connection is not None:
            self.connection.drop(ConnectionLostError("the store was closed"))

    def _unanswered(self) -> list["Future[Any]"]:
        sent = () if self.connection is None else self.connection.calls
        return [call[0] for call in chain(sent, self._waiting) if not call[0].done()]
