"""One server, at the other end of few connections."""

from asyncio import Future, Task, create_task, gather, get_running_loop
from math import inf
from typing import Any

from key_value.aio.stores.redis.lane import Lane, Open

__all__ = ["Server"]


# So long after something big, others take the connection on which least is under way.
_SPREAD_SECONDS = 1.0
# Many calls find out about a failover at once.
_RENEW_SECONDS = 0.1


class Server:
    """Calls share one connection, which makes few and full packets of them.

    Something big holds up whatever is behind it, and there is no telling which answer will be big. So when one was,
    calls are for a while spread over several connections.
    """

    def __init__(self, open_: Open, seconds: float | None, most: int) -> None:
        """`seconds` are the limit for opening a connection; there are at most `most`."""
        self._open = open_
        self._seconds = seconds
        self._most = most
        self._now = get_running_loop().time
        self._spread_until = 0.0
        self._spreads = False
        self._renewed_at = -inf
        self._closing: set[Task[None]] = set()
        self._first = Lane(open_, seconds, self._on_big)
        self.lanes = [self._first]

    def send(self, packed: bytes, replies: int, seconds: float | None, deadline: float | None = None) -> "Future[Any]":
        """The future answer, which may be an error: to one command, or a list of those to several in one.

        It comes within `seconds`, or by a deadline on the clock of the event loop.
        """
        lane = self._least_loaded() if self._spreads else self._first
        return lane.send(packed, replies, seconds, deadline)

    def renew(self) -> None:
        """Open new connections for what comes next: these lead to a server that has become a replica."""
        if self._now() < self._renewed_at + _RENEW_SECONDS:
            return
        self._renewed_at = self._now()
        old, self._first = self.lanes, Lane(self._open, self._seconds, self._on_big)
        self.lanes: list[Lane] = [self._first]
        for lane in old:
            closing = create_task(lane.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _on_big(self) -> None:
        self._spreads = self._most > 1
        self._spread_until = self._now() + _SPREAD_SECONDS

    def _least_loaded(self) -> Lane:
        self._spreads = self._now() < self._spread_until
        lane = min(self.lanes, key=Lane.load)
        if lane.load() and len(self.lanes) < self._most:
            lane = Lane(self._open, self._seconds, self._on_big)
            self.lanes.append(lane)
        return lane

    def load(self) -> int:
        """How many calls are under way."""
        return sum(lane.load() for lane in self.lanes)

    def release(self) -> None:
        """Be rid of the connections, which their event loop cannot close."""
        for lane in self.lanes:
            if lane.connection is not None:
                lane.connection.release()

    async def close(self) -> None:
        """Have every call answered, then end the connections."""
        await gather(*(lane.close() for lane in self.lanes), *self._closing)
