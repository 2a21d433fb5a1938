"""A connection to Memcached on which commands follow each other without waiting for answers."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any

from aiomcache.exceptions import ClientException
from key_value.aio.core.forks import AcrossForks, sever

__all__ = ["CLOSING_SECONDS", "Answers", "Connection", "Lines", "TooManyConnectionsError", "Values"]

CLOSING_SECONDS = 5.0

_LINE_END = b"\r\n"
_LOST = "the server closed the connection"
_TOO_MANY = b"ERROR Too many open connections"
# Behind these the server may take the data of a refused command for the next command.
_OUT_OF_STEP = (b"ERROR", b"CLIENT_ERROR")
_WORDS_WITHOUT_NUMBER = 4


class TooManyConnectionsError(ConnectionError):
    """The server has as many connections as it takes."""


class Answers:
    """What the server is to answer to commands that were sent together. `future` is done when all is there."""

    __slots__ = ("expected", "future", "refusal")

    def __init__(self, future: "asyncio.Future[None]", commands: int) -> None:
        self.future: asyncio.Future[None] = future
        self.expected: int = commands
        self.refusal: bytes | None = None
        """The first answer that was an error."""

    def take(self, received: bytes, position: int) -> tuple[int, bool]:
        """Read from the position on; where that ended, and whether all is there."""
        raise NotImplementedError


class Lines(Answers):
    """One line for each command."""

    __slots__ = ("lines",)

    def __init__(self, future: "asyncio.Future[None]", commands: int = 1) -> None:
        super().__init__(future, commands)
        self.lines: list[bytes] = []

    def take(self, received: bytes, position: int) -> tuple[int, bool]:
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
    """What is stored under names, for commands that each end with END; and its numbers, where they were asked for."""

    __slots__ = ("found", "numbers")

    def __init__(self, future: "asyncio.Future[None]", commands: int = 1) -> None:
        super().__init__(future, commands)
        self.found: dict[bytes, bytes] = {}
        self.numbers: dict[bytes, int] = {}

    def take(self, received: bytes, position: int) -> tuple[int, bool]:
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
                if len(words) > _WORDS_WITHOUT_NUMBER:
                    self.numbers[words[1]] = int(words[4])
                position = stop + 2
                continue
            # END, or an error in its place.
            if words != [b"END"] and self.refusal is None:
                self.refusal: bytes | None = received[position:end]
            position = start
            self.expected: int = self.expected - 1
        return position, True


class Connection(AcrossForks, asyncio.Protocol):
    """Sends at once what is asked of it in one turn of the event loop, and takes the answers in the same order.

    A caller that is cancelled, or does not wait any longer, leaves an answer that nobody gets.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        self._transport: Any = None
        self._rest = b""
        self._pending: deque[Answers] = deque()
        self._outgoing: list[bytes] = []
        self._writable: asyncio.Future[None] | None = None
        self._is_retired = False
        self.last_used: float = loop.time()
        """By the clock of the event loop."""
        self.closed: asyncio.Future[None] = loop.create_future()

    @property
    def is_usable(self) -> bool:
        return not self._is_retired

    def ask(self, commands: bytes, answers: Answers) -> None:
        """Send the commands. Raises ConnectionResetError when the connection is no more."""
        if self._is_retired:
            raise ConnectionResetError(_LOST)
        if not self._outgoing:
            self._loop.call_soon(self._send)
        self._outgoing.append(commands)
        self._pending.append(answers)

    async def room(self) -> None:
        """Until the system takes more. For those who send much."""
        while self._writable is not None:
            await asyncio.shield(self._writable)

    def retire(self) -> None:
        """Take no more commands, and close when nobody waits for an answer any more."""
        self._is_retired = True
        if all(answers.future.done() for answers in self._pending):
            self._transport.abort()

    async def close(self) -> None:
        """Retire, give the answers that are due some time, and return when it is closed."""
        self.retire()
        await asyncio.wait([self.closed], timeout=CLOSING_SECONDS)
        if not self.closed.done():
            self.abort(ConnectionAbortedError("the store was closed"))
            await asyncio.shield(self.closed)

    def abort(self, error: Exception) -> None:
        """Close at once. Those who wait for answers get the error."""
        self._is_retired = True
        pending = [*self._pending]
        self._pending.clear()
        for answers in pending:
            if not answers.future.done():
                # Each its own: an exception collects the frames that it is raised through.
                answers.future.set_exception(type(error)(*error.args))
        self._transport.abort()

    def after_fork_in_child(self) -> None:
        """Leave the socket to the parent. What was under way ends with an error here."""
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
        received = self._rest + data if self._rest else data
        position = 0
        self.last_used = self._loop.time()
        try:
            while self._pending:
                answers = self._pending[0]
                position, complete = answers.take(received, position)
                if not complete:
                    break
                self._pending.popleft()
                self._resolve(answers)
        except (IndexError, ValueError):
            self.abort(ClientException("the answer is none of Memcached's"))
            return
        self._rest = received[position:]
        if self._is_retired:
            self.retire()
        elif self._rest and not self._pending:
            # The server says why it is about to close the connection.
            self.abort(_error_of(self._rest))

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

    def _send(self) -> None:
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
        return TooManyConnectionsError("the server has as many connections as it takes")
    return ClientException("Memcached refused a command", line)
