"""One connection, on which the commands of many callers are under way at once."""

import asyncio
from asyncio import Future, StreamWriter, get_running_loop, wait
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from hiredis import ProtocolError, Reader
from key_value.aio.core.forks import AcrossForks, sever
from key_value.aio.stores.redis.transports import close_without_loop, shut_down

__all__ = ["BIG_BYTES", "Call", "Connection", "ConnectionLostError", "DeadlineError", "Owner"]

Call = tuple["Future[Any]", bytes, int, float, float | None]
"""The future answer; the command as it is sent; how many replies it has; its deadline and the limit in seconds.

A tuple, because each call makes one. The answer is the reply, or the list of replies to several commands in one; an
error is an answer too, for the caller to raise: so that nobody need retrieve that of a call that was cancelled.
"""

BIG_BYTES = 64 * 1024
"""A reply or a command of more than this holds up what comes after it."""

_CLOSING_SECONDS = 1.0


class ConnectionLostError(ConnectionError):
    """The connection ended with commands under way, which may have been executed or not."""


class DeadlineError(TimeoutError):
    """The limit of a call passed before its answer came."""


class Owner(Protocol):
    """Whom a connection tells what happens to it."""

    def on_room(self) -> None: ...
    def on_big(self) -> None: ...
    def on_lost(self) -> None: ...


class Connection(AcrossForks, asyncio.Protocol):
    """Replies come in the order of commands, so each belongs to the oldest call that waits for one.

    A call whose caller has gone keeps its place until its answer has come, which then is nobody's.
    """

    def __init__(self, parse_error: Callable[[str], Exception], owner: Owner) -> None:
        super().__init__()
        self.calls: deque[Call] = deque()
        self.paused: bool = False
        self.lost: bool = False
        loop = get_running_loop()
        self._ended: Future[None] = loop.create_future()
        self._now = loop.time
        self.heard_at: float = 0.0
        """When something last came, by the clock of the event loop."""
        self.transport: Any = None
        self._reader = Reader(protocolError=ProtocolError, replyError=parse_error)
        self._replies: list[Any] = []
        self._since_reply = 0
        self._owner = owner

    def use(self, writer: StreamWriter) -> None:
        """Take over the transport of a stream whose server waits for commands."""
        # A StreamWriter that is collected closes its transport.
        self._writer = writer
        self.transport = writer.transport
        self.heard_at = self._now()
        self.transport.set_protocol(self)

    def send(self, calls: list[Call]) -> None:
        self.calls.extend(calls)
        self.transport.write(calls[0][1] if len(calls) == 1 else b"".join([call[1] for call in calls]))

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._now()
        get_reply = self._reader.gets
        calls = self.calls
        try:
            self._reader.feed(data)
            reply = get_reply()
            if reply is False:
                self._since_reply += len(data)
                if self._since_reply > BIG_BYTES:
                    self._owner.on_big()
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
            error = ConnectionLostError("the server sent what is no answer")
            error.__cause__ = exc
            self.drop(error)
            return
        self._since_reply = 0

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self._owner.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        error = ConnectionLostError("the server closed the connection")
        error.__cause__ = exc
        self._end(error)
        self._ended.set_result(None)

    def drop(self, error: Exception) -> None:
        """End the connection at once, and answer those who wait with the error."""
        self.transport.abort()
        self._end(error)

    async def close(self) -> None:
        """End the connection when what was written is sent, and return when it has ended."""
        self.transport.close()
        # asyncio waits half a minute for the other side of a TLS connection to say goodbye.
        await wait([self._ended], timeout=_CLOSING_SECONDS)
        self.transport.abort()
        await wait([self._ended], timeout=_CLOSING_SECONDS)

    def release(self) -> None:
        """Be rid of the connection from outside of its event loop, which was closed or stands still."""
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
