"""Ways to be rid of a connection when its event loop cannot close it."""

import socket
from contextlib import suppress
from typing import Any

__all__ = ["close_without_loop", "shut_down"]


def close_without_loop(transport: Any) -> None:
    """For an event loop that is closed. A transport that is only dropped is closed with a warning."""
    inner = transport
    while hasattr(inner, "_ssl_protocol"):
        inner = inner._ssl_protocol._transport  # noqa: SLF001 — as below
    raw: socket.socket | None = getattr(inner, "_sock", None)
    if raw is not None:
        # asyncio's own methods need the loop.
        inner._sock, inner._closing = None, True  # noqa: SLF001
        raw.close()


def shut_down(transport: Any) -> None:
    """For an event loop that stands still, from any thread: the server is told, and the loop when it runs again."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # it has ended by itself
            connection.shutdown(socket.SHUT_RDWR)
