"""A network that fails on request: a TCP proxy to stand between a client under test and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from types import TracebackType

    from typing_extensions import Self

__all__ = ["FaultProxy"]

_CHUNK = 64 * 1024
# struct linger {l_onoff = 1, l_linger = 0}: close() sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class _Mode:
    listens: bool = True
    resets: bool = False
    swallows: bool = False
    delay: float = 0.0
    answer_bytes: int | None = None


class FaultProxy:
    """Forwards connections on `host` and `port` to a server, until you choose a fault.

    A mode replaces the previous one at once, for open and for new connections. Call the methods in the event loop that
    entered the proxy. Linux and macOS only: the loop must watch sockets.
    """

    host = "127.0.0.1"
    port: int

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._mode = _Mode()
        self._connections: set[_Connection] = set()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._bind(0)
        self.port = self._listener.getsockname()[1]
        self._listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close_listener()
        for connection in self._connections:
            connection.end()
        await asyncio.gather(*(connection.task for connection in self._connections), return_exceptions=True)

    def pass_through(self) -> None:
        """Forward again. Connections that were reset or black-holed stay lost: only new ones work."""
        self._switch(_Mode())

    def refuse(self) -> None:
        """Act like a stopped server: reset open connections, refuse new ones."""
        self._switch(_Mode(listens=False))

    def reset(self) -> None:
        """Send RST on open connections, and on new ones as soon as they are accepted."""
        self._switch(_Mode(resets=True))

    def delay(self, seconds: float) -> None:
        """Delay every reply by this time, without limiting the bandwidth."""
        if not 0 <= seconds < math.inf:
            msg = f"a delay is a finite number of seconds from 0, not {seconds}"
            raise ValueError(msg)
        self._switch(_Mode(delay=seconds))

    def black_hole(self) -> None:
        """Accept connections and requests, and never reply."""
        self._switch(_Mode(swallows=True))

    def drop_after(self, n_bytes: int) -> None:
        """Close each connection, open or new, after `n_bytes` more of replies."""
        if n_bytes < 0:
            msg = f"n_bytes cannot be negative: {n_bytes}"
            raise ValueError(msg)
        self._switch(_Mode(answer_bytes=n_bytes))

    def _switch(self, mode: _Mode) -> None:
        before, self._mode = self._mode, mode
        if before.listens and not mode.listens:
            self._close_listener()
            # Bound and not listening: refused, and nobody else can take the port.
            self._bind(self.port)
        elif mode.listens and not before.listens:
            self._listen()
        for connection in self._connections:
            connection.switch(mode)

    def _bind(self, port: int) -> None:
        self._listener = socket.socket()
        self._listener.settimeout(0)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((self.host, port))

    def _listen(self) -> None:
        self._listener.listen()
        self._loop.add_reader(self._listener, self._accept)

    def _close_listener(self) -> None:
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        client.settimeout(0)
        connection = _Connection(client, self._server)
        self._connections.add(connection)
        connection.task.add_done_callback(lambda _: self._connections.discard(connection))
        connection.switch(self._mode)


class _Connection:
    def __init__(self, client: socket.socket, server: tuple[str, int]) -> None:
        self._client = client
        self._server = server
        self._swallowing = asyncio.Event()
        self._switched = asyncio.Event()
        self._ending = False
        self.task = asyncio.create_task(self._run())
        # Not in the task itself: one that is cancelled before its first step runs no `finally`.
        self.task.add_done_callback(lambda _: client.close())

    def switch(self, mode: _Mode) -> None:
        self._delay = mode.delay
        self._answer_bytes = mode.answer_bytes
        self._switched.set()
        if mode.swallows:
            self._swallowing.set()
        if mode.resets or not mode.listens:
            _reset_on_close(self._client)
            self.end()

    def end(self) -> None:
        # A second cancellation would interrupt the wait for the inner tasks, which still watch the sockets.
        if not self._ending:
            self._ending = True
            self.task.cancel()

    async def _run(self) -> None:
        if not self._swallowing.is_set():
            try:
                await _first(self._relay(), self._swallowing.wait())
            except OSError:
                # A server that is gone or resets looks the same through the proxy.
                _reset_on_close(self._client)
        if self._swallowing.is_set():
            await self._swallow()

    async def _relay(self) -> None:
        # The queue keeps the time of arrival, so that a long answer is late once and not once per chunk.
        answers: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        with await _connect(*self._server) as server:
            await _first(self._forward_requests(server), self._receive_answers(server, answers), self._deliver(answers))

    async def _forward_requests(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while request := await loop.sock_recv(self._client, _CHUNK):
            await loop.sock_sendall(server, request)
        server.shutdown(socket.SHUT_WR)
        await _forever()

    async def _receive_answers(self, server: socket.socket, answers: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while answer := await loop.sock_recv(server, _CHUNK):
            await answers.put((loop.time(), answer))
        await answers.put((loop.time(), b""))
        await _forever()

    async def _deliver(self, answers: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrival, answer = await answers.get()
            await self._hold_back(arrival)
            if not answer:
                return
            if self._answer_bytes is not None:
                answer = answer[: self._answer_bytes]
                self._answer_bytes -= len(answer)
            await loop.sock_sendall(self._client, answer)
            if self._answer_bytes == 0:
                return

    async def _hold_back(self, arrival: float) -> None:
        loop = asyncio.get_running_loop()
        while (remaining := arrival + self._delay - loop.time()) > 0:
            self._switched.clear()
            # Not wait_for: before Python 3.12 it loses a cancellation that comes at the same moment as the result.
            switched = asyncio.ensure_future(self._switched.wait())
            try:
                await asyncio.wait([switched], timeout=remaining)
            finally:
                switched.cancel()

    async def _swallow(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(self._client, _CHUNK):
                pass


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        candidate = socket.socket(family, kind, protocol)
        candidate.settimeout(0)
        # Without it, small requests wait for the acknowledgement of those before (Nagle).
        candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await loop.sock_connect(candidate, address)
        except BaseException as error:
            candidate.close()
            if not isinstance(error, OSError):
                raise
            failure = error
        else:
            return candidate
    raise failure


async def _first(*coroutines: Coroutine[Any, Any, object]) -> None:
    """Run all until one ends; cancel the others and raise its exception."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _forever() -> None:
    await asyncio.get_running_loop().create_future()


def _reset_on_close(connection: socket.socket) -> None:
    # macOS refuses options on a connection that the other end has reset.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
