"""An empty server, and a raw connection that inspects what it holds."""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from key_value.aio.stores.memcached import MemcachedStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.load import Load

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator

    from servers.memcached import MemcachedServer

TIMEOUT = 2.0
# Allow for a busy machine.
LOAD = Load(200, seconds=TIMEOUT + 20.0)


class Raw:
    """Text protocol commands on a blocking connection."""

    def __init__(self, host: str, port: int) -> None:
        self.address = (host, port)
        self._socket = socket.create_connection(self.address, timeout=10)
        self._stream = self._socket.makefile("rwb")

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def ask(self, command: str | bytes) -> str:
        """Send a command and return the first line of its answer."""
        self._send(command if isinstance(command, bytes) else command.encode())
        return self._line()

    def get(self, name: str) -> bytes | None:
        self._send(b"get " + name.encode())
        line = self._line()
        if line == "END":
            return None
        text = self._stream.read(int(line.split(" ")[3]))
        assert self._line() == ""
        assert self._line() == "END"
        return text

    def set(self, name: str, text: bytes, exptime: int = 0) -> None:
        assert self.ask(f"set {name} 0 {exptime} {len(text)}\r\n".encode() + text) == "STORED"

    def statistics(self) -> dict[str, int]:
        """Return the server's counters by name."""
        self._send(b"stats")
        lines = iter(self._line, "END")
        counters = (line.split(" ", 2)[1:] for line in lines)
        return {name: int(value) for name, value in counters if value.isdecimal()}

    def names(self) -> dict[str, int]:
        """Return the percent-encoded stored names with their expiry: seconds since 1970, or -1."""
        self._send(b"lru_crawler metadump all")
        lines = [line.split(" ") for line in iter(self._line, "END")]
        return {name.removeprefix("key="): int(expiry.removeprefix("exp=")) for name, expiry, *_ in lines}

    def _send(self, command: bytes) -> None:
        self._stream.write(command + b"\r\n")
        self._stream.flush()

    def _line(self) -> str:
        return self._stream.readline().decode().rstrip("\r\n")


@contextmanager
def raw_connection(url: str) -> Generator[Raw]:
    place = urlsplit(url)
    raw = Raw(place.hostname or "", place.port or 11211)
    try:
        yield raw
    finally:
        raw.close()


@asynccontextmanager
async def proxied(raw: Raw, **options: Any) -> AsyncGenerator[tuple[FaultProxy, MemcachedStore]]:
    async with FaultProxy(*raw.address) as proxy, MemcachedStore(host=proxy.host, port=proxy.port, **options) as store:
        yield proxy, store


@pytest.fixture
def url(memcached_server: MemcachedServer) -> str:
    return memcached_server.url


@pytest.fixture
def raw(url: str) -> Iterator[Raw]:
    with raw_connection(url) as raw:
        assert raw.ask("flush_all") == "OK"
        yield raw


@pytest.fixture
async def store(raw: Raw) -> AsyncIterator[MemcachedStore]:
    host, port = raw.address
    async with MemcachedStore(host=host, port=port) as store:
        yield store


@pytest.fixture
def commands_run(raw: Raw) -> Callable[[], dict[str, int]]:
    """Count the commands that the server has run since the previous call."""
    counters = (
        "cmd_get",
        "cmd_set",
        "cmd_touch",
        "cmd_flush",
        "delete_hits",
        "delete_misses",
        "cas_hits",
        "cas_badval",
    )
    seen = raw.statistics()

    def since_last() -> dict[str, int]:
        nonlocal seen
        before, seen = seen, raw.statistics()
        return {name: new for name in counters if (new := seen[name] - before[name])}

    return since_last
