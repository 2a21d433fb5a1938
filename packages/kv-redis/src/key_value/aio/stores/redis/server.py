"""The connections to one server."""

from asyncio import Future, Task, create_task, gather, get_running_loop
from math import inf
from typing import Any

from key_value.aio.stores.redis.channel import Channel, OpenConnection

__all__ = ["Server"]


# For this long after a large command or reply, calls use the least loaded connection.
_SPREAD_SECONDS = 1.0
# Many calls notice a failover at once, which must renew the connections only once.
_MIN_RENEWAL_INTERVAL_SECONDS = 0.1


class Server:
    """Calls share one connection, which combines them into few, full packets.

    A large command or reply delays everything behind it, and the size of a reply is not known in advance. So after one,
    calls are spread over several connections for a while.
    """

    def __init__(self, open_: OpenConnection, seconds: float | None, max_connections: int) -> None:
        """`seconds` is the time limit for opening a connection, None for no limit."""
        self._open = open_
        self._seconds = seconds
        self._max_connections = max_connections
        self._now = get_running_loop().time
        self._spread_until = 0.0
        self._spreads = False
        self._renewed_at = -inf
        self._closing: set[Task[None]] = set()
        self._first = Channel(open_, seconds, self._on_large)
        self.channels = [self._first]

    def send(self, packed: bytes, replies: int, seconds: float | None, deadline: float | None = None) -> "Future[Any]":
        """Send encoded commands. The result is the reply, a list of `replies` if there are several, or an error.

        It arrives within `seconds`, or by `deadline` on the clock of the event loop.
        """
        channel = self._least_loaded() if self._spreads else self._first
        return channel.send(packed, replies, seconds, deadline)

    def renew(self) -> None:
        """Open new connections for later calls, as the server behind the current ones has become a replica."""
        if self._now() < self._renewed_at + _MIN_RENEWAL_INTERVAL_SECONDS:
            return
        self._renewed_at = self._now()
        old, self._first = self.channels, Channel(self._open, self._seconds, self._on_large)
        self.channels: list[Channel] = [self._first]
        for channel in old:
            closing = create_task(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _on_large(self) -> None:
        self._spreads = self._max_connections > 1
        self._spread_until = self._now() + _SPREAD_SECONDS

    def _least_loaded(self) -> Channel:
        self._spreads = self._now() < self._spread_until
        channel = min(self.channels, key=Channel.load)
        if channel.load() and len(self.channels) < self._max_connections:
            channel = Channel(self._open, self._seconds, self._on_large)
            self.channels.append(channel)
        return channel

    def load(self) -> int:
        """Return the number of calls queued or in flight."""
        return sum(channel.load() for channel in self.channels)

    def release(self) -> None:
        """Drop the connections, which their event loop cannot close any more."""
        for channel in self.channels:
            if channel.connection is not None:
                channel.connection.release()

    async def close(self) -> None:
        """Wait for the calls in flight, then close the connections."""
        await gather(*(channel.close() for channel in self.channels), *self._closing)
