"""Functions that end a connection when its event loop cannot close it."""

import socket
from contextlib import suppress
from typing import Any

__all__ = ["close_without_loop", "shut_down"]


def close_without_loop(transport: Any) -> None:
    """Close the transport of a closed event loop, without the warning of its destructor."""
    inner = transport
    while hasattr(inner, "_ssl_protocol"):
        inner = inner._ssl_protocol._transport  # noqa: SLF001 — see below
    raw: socket.socket | None = getattr(inner, "_sock", None)
    if raw is not None:
        # asyncio's public methods need the loop.
        inner._sock, inner._closing = None, True  # noqa: SLF001
        raw.close()


def shut_down(transport: Any) -> None:
    """Shut down the socket of a stopped event loop, from any thread. The loop sees the end if it runs again."""
    connection = transport.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):  # it has already ended
            connection.shutdown(socket.SHUT_RDWR)
