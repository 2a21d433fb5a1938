"""A pipelined connection to Memcached."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from aiomcache.exceptions import ClientException
from key_value.aio.core.forks import ForkAware, sever

__all__ = ["CLOSING_SECONDS", "Answers", "Connection", "Lines", "TooManyConnectionsError", "Values"]

CLOSING_SECONDS = 5.0

_LINE_END = b"\r\n"
_LOST = "the server closed the connection"
_TOO_MANY = b"ERROR Too many open connections"
# After these errors, the server may parse the data of the rejected command as the next command.
_OUT_OF_STEP = (b"ERROR", b"CLIENT_ERROR")
_WORDS_WITHOUT_CAS_NUMBER = 4


class TooManyConnectionsError(ConnectionError):
    """The server has reached its connection limit."""


class Answers:
    """The expected answers to commands that were sent together. `future` is done when all have arrived."""

    __slots__ = ("expected", "future", "refusal")

    def __init__(self, future: "asyncio.Future[None]", commands: int) -> None:
        self.future: asyncio.Future[None] = future
        self.expected: int = commands
        self.refusal: bytes | None = None
        """The first error among the answers."""

    def parse(self, received: bytes, position: int) -> tuple[int, bool]:
        """Parse from the position. Return the end position and whether the answers are complete."""
        raise NotImplementedError


class Lines(Answers):
    """Answers of one line per command."""

    __slots__ = ("lines",)

    def __init__(self, future: "asyncio.Future[None]", commands: int = 1) -> None:
        super().__init__(future, commands)
        self.lines: list[bytes] = []

    def parse(self, received: bytes, position: int) -> tuple[int, bool]:
        while len(self.lines) < self.expected:
            end = received.find(_LINE_END, position)
            if end < 0:
                return position, False
            line = received[position:end]
            self.lines.append(line)
            if self.refusal is None and b"ERROR" in line:
                self.refusal: bytes | None = line
            position = end + 2
        return position, True


class Values(Answers):
    """The items returned by commands that each end with END, with the CAS numbers of `gets`."""

    __slots__ = ("cas_numbers", "found")

    def __init__(self, future: "asyncio.Future[None]", commands: int = 1) -> None:
        super().__init__(future, commands)
        self.found: dict[bytes, bytes] = {}
        self.cas_numbers: dict[bytes, int] = {}

    def parse(self, received: bytes, position: int) -> tuple[int, bool]:
        found = self.found
        while self.expected:
            end = received.find(_LINE_END, position)
            if end < 0:
                return position, False
            start = end + 2
            words = received[position:end].split(b" ")
            if words[0] == b"VALUE":
                stop = start + int(words[3])
                if len(received) < stop + 2:
                    return position, False
                found[words[1]] = received[start:stop]
                if len(words) > _WORDS_WITHOUT_CAS_NUMBER:
                    self.cas_numbers[words[1]] = int(words[4])
                position = stop + 2
                continue
            # END, or an error instead.
            if words != [b"END"] and self.refusal is None:
                self.refusal: bytes | None = received[position:end]
            position = start
            self.expected: int = self.expected - 1
        return position, True


class Connection(ForkAware, asyncio.Protocol):
    """Sends the commands of one event loop iteration together, and receives the answers in the same order.

    The answers of cancelled or timed-out callers are discarded when they arrive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._transport: Any = None
        self._unparsed = b""
        self._pending: deque[Answers] = deque()
        self._outgoing: list[bytes] = []
        self._writable: asyncio.Future[None] | None = None
        self._is_retired = False
        self.last_used: float = loop.time()
        """The time of the last sent or received data, by the clock of the event loop."""
        self.closed: asyncio.Future[None] = loop.create_future()

    @property
    def is_usable(self) -> bool:
        return not self._is_retired

    def send(self, commands: bytes, answers: Answers) -> None:
        """Send the commands. Raises ConnectionResetError if the connection is retired."""
        if self._is_retired:
            raise ConnectionResetError(_LOST)
        if not self._outgoing:
            self._loop.call_soon(self._write)
        self._outgoing.append(commands)
        self._pending.append(answers)

    async def wait_until_writable(self) -> None:
        """Wait until the write buffer has room. For senders of large commands."""
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def retire(self) -> None:
        """Accept no more commands, and close once no caller waits for an answer."""
        self._is_retired = True
        if all(answers.future.done() for answers in self._pending):
            self._transport.abort()

    async def close(self) -> None:
        """Retire, wait a limited time for the pending answers, and return when the connection is closed."""
        self.retire()
        await asyncio.wait([self.closed], timeout=CLOSING_SECONDS)
        if not self.closed.done():
            self.abort(ConnectionAbortedError("the store was closed"))
            await asyncio.shield(self.closed)

    def abort(self, error: Exception) -> None:
        """Close at once. Waiting callers get the error."""
        self._is_retired = True
        pending = [*self._pending]
        self._pending.clear()
        for answers in pending:
            if not answers.future.done():
                # A separate exception for each: raising one appends to its traceback.
                answers.future.set_exception(type(error)(*error.args))
        self._transport.abort()

    def after_fork_in_child(self) -> None:
        """Leave the socket to the parent. Calls in flight fail in the child."""
        if self._transport is None or self._transport.is_closing():
            return
        sever(self._transport)
        self._is_retired = True
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self.abort, ConnectionResetError("the process was forked"))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._unparsed + data if self._unparsed else data
        position = 0
        self.last_used = self._loop.time()
        try:
            while self._pending:
                answers = self._pending[0]
                position, complete = answers.parse(received, position)
                if not complete:
                    break
                self._pending.popleft()
                self._resolve(answers)
        except (IndexError, ValueError):
            self.abort(ClientException("the server sent an invalid answer"))
            return
        self._unparsed = received[position:]
        if self._is_retired:
            self.retire()
        elif self._unparsed and not self._pending:
            # The server announces why it closes the connection.
            self.abort(_error_of(self._unparsed))

    def eof_received(self) -> None:
        self._is_retired = True

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None:
            self._writable.set_result(None)
            self._writable = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.abort(exc or ConnectionResetError(_LOST))
        self.resume_writing()
        self.closed.set_result(None)

    def _write(self) -> None:
        self.last_used = self._loop.time()
        commands, self._outgoing = self._outgoing, []
        if not self._transport.is_closing():
            self._transport.write(commands[0] if len(commands) == 1 else b"".join(commands))

    def _resolve(self, answers: Answers) -> None:
        refusal = answers.refusal
        if not answers.future.done():
            if refusal is None:
                answers.future.set_result(None)
            else:
                answers.future.set_exception(_error_of(refusal))
        if refusal is not None and refusal.startswith(_OUT_OF_STEP):
            self.abort(_error_of(refusal))


def _error_of(line: bytes) -> Exception:
    if line.startswith(_TOO_MANY):
        return TooManyConnectionsError("the server has reached its connection limit")
    return ClientException("Memcached refused a command", line)
