"""A connection that pipelines the commands of many callers."""

import asyncio
from asyncio import Future, StreamWriter, get_running_loop, wait
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hiredis import ProtocolError, Reader
from key_value.aio.core.forks import ForkAware, sever
from key_value.aio.stores.redis.transports import close_without_loop, shut_down

__all__ = ["LARGE_BYTES", "Call", "Connection", "ConnectionLostError", "DeadlineError", "Owner"]

Call = tuple["Future[Any]", bytes, int, float, float | None]
"""The future answer, the encoded command, its number of replies, its deadline, and the time limit in seconds.

A tuple, which is cheap to create for each call. The answer is the reply, or a list of replies for several commands. An
error is set as the result, not as the exception, of the future: asyncio would warn about the unretrieved exception of
a cancelled call.
"""

LARGE_BYTES = 64 * 1024
"""A reply or command above this size delays the ones behind it."""

_CLOSING_SECONDS = 1.0


class ConnectionLostError(ConnectionError):
    """The connection ended with commands in flight, which may or may not have been executed."""


class DeadlineError(TimeoutError):
    """The time limit of a call passed before its answer arrived."""


class Owner(Protocol):
    """Receives the events of a connection."""

    def on_writable(self) -> None: ...
    def on_large(self) -> None: ...
    def on_lost(self) -> None: ...


class Connection(ForkAware, asyncio.Protocol):
    """Replies arrive in the order of the commands, so each belongs to the oldest call in flight.

    A cancelled call keeps its place until its answer arrives, which is discarded.
    """

    def __init__(self, parse_error: Callable[[str], Exception], owner: Owner) -> None:
        super().__init__()
        self.calls: deque[Call] = deque()
        self.paused: bool = False
        self.lost: bool = False
        loop = get_running_loop()
        self._ended: Future[None] = loop.create_future()
        self._now = loop.time
        self.last_received_at: float = 0.0
        """When data was last received, by the clock of the event loop."""
        self.transport: Any = None
        self._reader = Reader(protocolError=ProtocolError, replyError=parse_error)
        self._replies: list[Any] = []
        self._bytes_since_reply = 0
        self._owner = owner

    def attach(self, writer: StreamWriter) -> None:
        """Take over the transport of an open stream that is ready for commands."""
        # A StreamWriter closes its transport when it is garbage collected.
        self._writer = writer
        self.transport = writer.transport
        self.last_received_at = self._now()
        self.transport.set_protocol(self)

    def send(self, calls: list[Call]) -> None:
        self.calls.extend(calls)
        self.transport.write(calls[0][1] if len(calls) == 1 else b"".join([call[1] for call in calls]))

    def data_received(self, data: bytes) -> None:
        self.last_received_at = self._now()
        get_reply = self._reader.gets
        calls = self.calls
        try:
            self._reader.feed(data)
            reply = get_reply()
            if reply is False:
                self._bytes_since_reply += len(data)
                if self._bytes_since_reply > LARGE_BYTES:
                    self._owner.on_large()
                return
            while reply is not False:
                future, _, replies, _, _ = calls[0]
                if replies != 1:
                    self._replies.append(reply)
                    if len(self._replies) < replies:
                        reply = get_reply()
                        continue
                    reply, self._replies = self._replies, []
                calls.popleft()
                if not future.done():
                    future.set_result(reply)
                reply = get_reply()
        except (ProtocolError, IndexError) as exc:
            error = ConnectionLostError("the server sent an invalid reply")
            error.__cause__ = exc
            self.drop(error)
            return
        self._bytes_since_reply = 0

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._owner.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        error = ConnectionLostError("the server closed the connection")
        error.__cause__ = exc
        self._end(error)
        self._ended.set_result(None)

    def drop(self, error: Exception) -> None:
        """End the connection at once and answer the calls in flight with the error."""
        self.transport.abort()
        self._end(error)

    async def close(self) -> None:
        """Send the buffered data, then end the connection; return when it has ended."""
        self.transport.close()
        # asyncio waits up to 30 s for the peer's TLS close_notify.
        await wait([self._ended], timeout=_CLOSING_SECONDS)
        self.transport.abort()
        await wait([self._ended], timeout=_CLOSING_SECONDS)

    def release(self) -> None:
        """Drop the connection from outside its event loop, which is closed or stopped."""
        is_closed = self._ended.get_loop().is_closed()
        (close_without_loop if is_closed else shut_down)(self.transport)

    def after_fork_in_child(self) -> None:
        if self.transport is not None:
            sever(self.transport)

    def _end(self, error: Exception) -> None:
        if self.lost:
            return
        self.lost = True
        calls, self.calls = self.calls, deque()
        for future, *_ in calls:
            if not future.done():
                future.set_result(error)
        self._owner.on_lost()
