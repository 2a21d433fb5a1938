"""The driver's pipe, which delivers the answers to all clients of a process, and the event loop that reads it.

That is the loop in which the first client was created. The driver does not notice when this loop stops while other
loops wait for answers.
"""

import os
import socket
import threading
from asyncio import AbstractEventLoop
from typing import Any

from glide import glide_client
from key_value.aio.core.forks import ForkAware

__all__ = ["ensure_reader"]

_driver: Any = glide_client  # its pipe attributes are private


def ensure_reader(loop: AbstractEventLoop) -> None:
    """Make the running loop read the pipe, unless another running loop already does."""
    reader: AbstractEventLoop | None = _driver._async_pipe_loop  # noqa: SLF001 — here and below: no public access
    if reader is not loop and reader is not None and not reader.is_running():
        _take_over(reader, loop)


def _take_over(reader: AbstractEventLoop, loop: AbstractEventLoop) -> None:
    with _driver._async_pipe_lock:  # noqa: SLF001
        if _driver._async_pipe_loop is not reader or reader.is_running():  # noqa: SLF001
            return
        descriptor = _driver._async_pipe_read_fd  # noqa: SLF001
        if not reader.is_closed():
            reader.remove_reader(descriptor)
        loop.add_reader(descriptor, _driver._on_async_pipe_readable)  # noqa: SLF001
        _driver._async_pipe_loop = loop  # noqa: SLF001


class _Pipe(ForkAware):
    def after_fork_in_child(self) -> None:
        """Leave the pipe to the parent, so that the driver creates a new one."""
        _driver._async_pipe_lock = threading.Lock()  # noqa: SLF001 — a thread of the parent may hold it
        reader: AbstractEventLoop | None = _driver._async_pipe_loop  # noqa: SLF001
        descriptor = _driver._async_pipe_read_fd  # noqa: SLF001
        if reader is None or descriptor < 0:
            return
        # An inherited event loop shares its epoll instance with the parent's: unregistering the pipe would also
        # unregister it there. So the descriptor is redirected to another file first.
        near, far = socket.socketpair()
        with near, far:
            os.dup2(near.fileno(), descriptor, inheritable=False)
        if not reader.is_closed():
            reader.remove_reader(descriptor)


_pipe = _Pipe()
