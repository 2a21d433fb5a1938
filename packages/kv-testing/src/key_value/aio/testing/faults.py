"""Network faults on request: a TCP proxy between the client under test and a real server."""

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

_READ_BYTES = 64 * 1024
# struct linger {l_onoff = 1, l_linger = 0}: close() sends RST instead of FIN.
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class _Mode:
    listens: bool = True
    resets: bool = False
    discards: bool = False
    delay: float = 0.0
    reply_bytes: int | None = None


class FaultProxy:
    """Forwards connections on `host` and `port` to a server, until a fault is selected.

    A fault replaces the previous one at once, for open and new connections. Call the methods in the event loop in which
    the proxy was entered. Linux and macOS only: the loop must support `add_reader`.
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
        """End the fault. Connections that were reset or black-holed stay lost; new connections work."""
        self._switch(_Mode())

    def refuse(self) -> None:
        """Act like a stopped server: reset open connections, refuse new ones."""
        self._switch(_Mode(listens=False))

    def reset(self) -> None:
        """Reset (RST) open connections, and new connections as soon as they are accepted."""
        self._switch(_Mode(resets=True))

    def delay(self, seconds: float) -> None:
        """Delay every reply by this time, without limiting the bandwidth."""
        if not 0 <= seconds < math.inf:
            msg = f"a delay must be a finite number of seconds, at least 0, not {seconds}"
            raise ValueError(msg)
        self._switch(_Mode(delay=seconds))

    def black_hole(self) -> None:
        """Accept connections and requests, and never reply."""
        self._switch(_Mode(discards=True))

    def drop_after(self, n_bytes: int) -> None:
        """Close each connection, open or new, after `n_bytes` more bytes of replies."""
        if n_bytes < 0:
            msg = f"n_bytes must be at least 0, not {n_bytes}"
            raise ValueError(msg)
        self._switch(_Mode(reply_bytes=n_bytes))

    def _switch(self, mode: _Mode) -> None:
        previous, self._mode = self._mode, mode
        if previous.listens and not mode.listens:
            self._close_listener()
            # Bound but not listening: connections are refused, and no other process can take the port.
            self._bind(self.port)
        elif mode.listens and not previous.listens:
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
        self._discarding = asyncio.Event()
        self._switched = asyncio.Event()
        self._ending = False
        self.task = asyncio.create_task(self._run())
        # Not in the task itself: a task that is cancelled before its first step runs no `finally`.
        self.task.add_done_callback(lambda _: client.close())

    def switch(self, mode: _Mode) -> None:
        self._delay = mode.delay
        self._reply_bytes = mode.reply_bytes
        self._switched.set()
        if mode.discards:
            self._discarding.set()
        if mode.resets or not mode.listens:
            _reset_on_close(self._client)
            self.end()

    def end(self) -> None:
        # A second cancellation would interrupt the wait for the inner tasks, which still watch the sockets.
        if not self._ending:
            self._ending = True
            self.task.cancel()

    async def _run(self) -> None:
        if not self._discarding.is_set():
            try:
                await _until_first_ends(self._relay(), self._discarding.wait())
            except OSError:
                # The client sees the same fault as from a server that is down or resets the connection.
                _reset_on_close(self._client)
        if self._discarding.is_set():
            await self._discard_requests()

    async def _relay(self) -> None:
        # The queue keeps arrival times, so that a long reply is delayed once, not once per chunk.
        replies: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=64)
        with await _connect(*self._server) as server:
            await _until_first_ends(
                self._forward_requests(server), self._receive_replies(server, replies), self._deliver(replies)
            )

    async def _forward_requests(self, server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while request := await loop.sock_recv(self._client, _READ_BYTES):
            await loop.sock_sendall(server, request)
        server.shutdown(socket.SHUT_WR)
        await _forever()

    async def _receive_replies(self, server: socket.socket, replies: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while reply := await loop.sock_recv(server, _READ_BYTES):
            await replies.put((loop.time(), reply))
        await replies.put((loop.time(), b""))
        await _forever()

    async def _deliver(self, replies: asyncio.Queue[tuple[float, bytes]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            arrival, reply = await replies.get()
            await self._wait_for_delay(arrival)
            if not reply:
                return
            if self._reply_bytes is not None:
                reply = reply[: self._reply_bytes]
                self._reply_bytes -= len(reply)
            await loop.sock_sendall(self._client, reply)
            if self._reply_bytes == 0:
                return

    async def _wait_for_delay(self, arrival: float) -> None:
        loop = asyncio.get_running_loop()
        while (remaining := arrival + self._delay - loop.time()) > 0:
            self._switched.clear()
            # Not wait_for: before Python 3.12 it loses a cancellation that coincides with the result.
            switched = asyncio.ensure_future(self._switched.wait())
            try:
                await asyncio.wait([switched], timeout=remaining)
            finally:
                switched.cancel()

    async def _discard_requests(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while await loop.sock_recv(self._client, _READ_BYTES):
                pass


async def _connect(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    failure = OSError(f"no address for {host}")
    for family, kind, protocol, _, address in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        candidate = socket.socket(family, kind, protocol)
        candidate.settimeout(0)
        # Otherwise Nagle's algorithm delays small requests.
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


async def _until_first_ends(*coroutines: Coroutine[Any, Any, object]) -> None:
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
    # macOS rejects options on a connection that the peer has reset.
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
