"""A connection that is opened on demand and reopened after a loss."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from key_value.aio.stores.memcached.connection import CLOSING_SECONDS, Connection

__all__ = ["Connector", "Server"]

# After a longer idle time, the server may have closed the connection without the event loop knowing yet.
_MAX_IDLE_SECONDS = 0.5


class Server(NamedTuple):
    """A server's address, with further arguments of asyncio's `create_connection`, such as `ssl`."""

    host: str
    port: int
    options: Mapping[str, Any]


class Connector:
    """Opens one connection at its first use, and again after a loss. Belongs to the running event loop."""

    def __init__(self, server: Server, seconds: float | None) -> None:
        self._server = server
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._connection: Connection | None = None
        self._opening: asyncio.Future[Connection] | None = None
        self._opener: asyncio.Task[None] | None = None
        self._is_closed = False
        self._waiting = 0

    @property
    def ready(self) -> Connection | None:
        """The connection, if it is certainly open."""
        connection = self._connection
        if (
            connection is None
            or not connection.is_usable
            or self._loop.time() - connection.last_used > _MAX_IDLE_SECONDS
        ):
            return None
        return connection

    async def connection(self) -> Connection:
        """Return the connection, opened if necessary. Raises the errors of connecting, and TimeoutError."""
        self._waiting += 1
        try:
            # Two iterations of the event loop: it notices a closed connection first and reports it second.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if self._connection is not None and self._connection.is_usable:
                return self._connection
            if self._is_closed:
                raise _closed()
            if self._opening is None:
                self._opening = self._loop.create_future()
                self._opener = self._loop.create_task(self._open(self._opening))
            return await asyncio.wait_for(asyncio.shield(self._opening), self._seconds)
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Wait a limited time for pending connections and answers, then close the connection."""
        until = self._loop.time() + CLOSING_SECONDS
        while self._waiting and self._loop.time() < until:
            if self._opener is None:
                await asyncio.sleep(0)  # waiting callers are about to resume, or to open a connection
            else:
                await asyncio.wait([self._opener], timeout=CLOSING_SECONDS)
        self._is_closed = True
        if self._opener is not None:
            self._opener.cancel()
        if self._connection is not None:
            await self._connection.close()

    async def _open(self, opening: "asyncio.Future[Connection]") -> None:
        try:
            connection = await asyncio.wait_for(self._connect(), self._seconds)
        except asyncio.CancelledError:
            _fail(opening, _closed())
            raise
        except Exception as exc:  # noqa: BLE001 — raised by each waiting caller
            _fail(opening, exc)
        else:
            if self._is_closed:
                # Before Python 3.12, wait_for loses a cancellation that arrives in the iteration in which it ends.
                connection.abort(_closed())
                _fail(opening, _closed())
            else:
                self._connection = connection
                opening.set_result(connection)
        finally:
            self._opening = self._opener = None

    async def _connect(self) -> Connection:
        host, port, options = self._server
        # An IP address needs no lookup in a thread, for which a forked child would wait forever.
        _, connection = await self._loop.create_connection(self._new_connection, host, port, **options)
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._loop)


def _closed() -> ConnectionAbortedError:
    return ConnectionAbortedError("the store was closed")


def _fail(opening: "asyncio.Future[Connection]", error: Exception) -> None:
    opening.set_exception(error)
    # Mark the exception as retrieved: all waiting callers may have been cancelled.
    opening.exception()
