from __future__ import annotations

import asyncio
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from key_value.aio.testing import faults
from key_value.aio.testing.faults import FaultProxy
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

    from servers.redis import RedisServer

MEGABYTE = bytes(range(256)) * 4096

MODES: dict[str, Callable[[FaultProxy], None]] = {
    "pass_through": FaultProxy.pass_through,
    "refuse": FaultProxy.refuse,
    "reset": FaultProxy.reset,
    "black_hole": FaultProxy.black_hole,
    "delay": lambda proxy: proxy.delay(60),
    "drop_after": lambda proxy: proxy.drop_after(1),
}


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while received := await reader.read(65536):
        writer.write(received)
        await writer.drain()
    writer.close()


@pytest.fixture
async def echo_server() -> AsyncIterator[tuple[str, int]]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()


@pytest.fixture
async def proxy(echo_server: tuple[str, int]) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(*echo_server) as proxy:
        yield proxy


@pytest.fixture
def unused_address() -> Iterator[tuple[str, int]]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def echoed(self, request: bytes) -> bytes:
        self.writer.write(request)
        return await asyncio.wait_for(self.reader.readexactly(len(request)), 60)

    async def is_silent(self) -> bool:
        """Return whether neither data nor the end arrives within 0.1 s; only waiting can show it."""
        done, pending = await asyncio.wait([asyncio.ensure_future(self.reader.read(1))], timeout=0.1)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return not done


@asynccontextmanager
async def connected(proxy: FaultProxy) -> AsyncGenerator[Client]:
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_a_new_proxy_forwards_requests_and_answers(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        assert await client.echoed(b"request") == b"request"
        assert await client.echoed(MEGABYTE) == MEGABYTE


async def test_a_client_that_has_closed_its_sending_side_still_gets_the_answer(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        client.writer.write(MEGABYTE)
        client.writer.write_eof()
        assert await client.reader.read(-1) == MEGABYTE


async def test_a_refusing_proxy_resets_open_connections_and_refuses_new_ones(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.echoed(b"request")
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(proxy.host, proxy.port)


async def test_a_proxy_that_refused_listens_again_on_the_same_port(proxy: FaultProxy) -> None:
    port = proxy.port
    proxy.refuse()
    proxy.pass_through()
    async with connected(proxy) as client:
        assert await client.echoed(b"request") == b"request"
    assert proxy.port == port


async def test_a_refused_port_stays_reserved(proxy: FaultProxy) -> None:
    proxy.refuse()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((proxy.host, proxy.port))


async def test_a_reset_reaches_a_connection_that_waits_for_an_answer(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        await client.echoed(b"request")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)


async def test_a_new_connection_is_accepted_and_then_reset(proxy: FaultProxy) -> None:
    proxy.reset()
    with socket.create_connection((proxy.host, proxy.port)) as client:
        client.settimeout(0)
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(client, 1)


async def test_a_delay_holds_back_every_answer(proxy: FaultProxy) -> None:
    proxy.delay(0.1)
    async with connected(proxy) as client:
        for _ in range(2):
            start = time.perf_counter()
            await client.echoed(b"request")
            assert time.perf_counter() - start >= 0.1


async def test_a_long_answer_is_delayed_once(proxy: FaultProxy) -> None:
    proxy.delay(1)
    async with connected(proxy) as client:
        start = time.perf_counter()
        await client.echoed(MEGABYTE)
        # Sixteen chunks, each delayed separately, would take 16 s.
        assert 1 <= time.perf_counter() - start < 15


async def test_the_end_of_a_delay_releases_held_data(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.delay(60)
        client.writer.write(b"request")
        assert await client.is_silent()
        proxy.pass_through()
        assert await asyncio.wait_for(client.reader.readexactly(7), 30) == b"request"


async def test_a_black_hole_accepts_and_never_answers(proxy: FaultProxy) -> None:
    proxy.black_hole()
    async with connected(proxy) as client:
        client.writer.write(MEGABYTE)
        await client.writer.drain()
        assert await client.is_silent()


async def test_a_black_hole_keeps_its_connections_silent(proxy: FaultProxy) -> None:
    async with connected(proxy) as caught, connected(proxy) as opened_inside:
        await caught.echoed(b"request")
        proxy.black_hole()
        caught.writer.write(b"request")
        assert await opened_inside.is_silent()
        proxy.pass_through()
        assert await caught.is_silent()
        async with connected(proxy) as fresh:
            assert await fresh.echoed(b"request") == b"request"


async def test_a_black_hole_needs_no_server(unused_address: tuple[str, int]) -> None:
    async with FaultProxy(*unused_address) as proxy:
        proxy.black_hole()
        async with connected(proxy) as client:
            assert await client.is_silent()


@pytest.mark.parametrize("n_bytes", [0, 1, 70_000])
async def test_each_connection_is_dropped_in_the_middle_of_an_answer(proxy: FaultProxy, n_bytes: int) -> None:
    async with connected(proxy) as opened_before:
        await opened_before.echoed(b"request")
        proxy.drop_after(n_bytes)
        async with connected(proxy) as opened_after:
            for client in (opened_before, opened_after):
                client.writer.write(MEGABYTE[:100_000])
                assert await received_until_the_end(client) == MEGABYTE[:n_bytes]


async def received_until_the_end(client: Client) -> bytes:
    received = b""
    try:
        while part := await client.reader.read(65536):
            received += part
    except ConnectionResetError:
        # The kernel resets the connection if the proxy closes before it has read the whole request.
        pass
    return received


async def test_a_connection_works_again_when_the_mode_ends_before_the_drop(proxy: FaultProxy) -> None:
    async with connected(proxy) as client:
        proxy.drop_after(10)
        await client.echoed(b"request")
        proxy.pass_through()
        assert await client.echoed(MEGABYTE) == MEGABYTE


async def test_an_unreachable_server_resets_the_connection(unused_address: tuple[str, int]) -> None:
    async with FaultProxy(*unused_address) as proxy, connected(proxy) as client:
        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)


@pytest.mark.parametrize("mode", MODES)
async def test_leaving_the_proxy_cancels_every_task(echo_server: tuple[str, int], mode: str) -> None:
    async with leftover_connections() as connect:
        async with FaultProxy(*echo_server) as proxy:
            client = await connect(proxy)
            await client.echoed(b"request")
            MODES[mode](proxy)
            client.writer.write(b"request")
            if mode != "refuse":
                await connect(proxy)
            assert tasks_of_the_proxy()
        assert not tasks_of_the_proxy()


def tasks_of_the_proxy() -> list[asyncio.Task[object]]:
    return [task for task in asyncio.all_tasks() if faults.__file__ in repr(task)]


@asynccontextmanager
async def leftover_connections() -> AsyncGenerator[Callable[[FaultProxy], Awaitable[Client]]]:
    """Connections that are still open when the proxy ends."""
    async with AsyncExitStack() as stack:
        yield lambda proxy: stack.enter_async_context(connected(proxy))


async def test_modes_can_change_under_many_connections(proxy: FaultProxy) -> None:
    async def use() -> None:
        async with connected(proxy) as client:
            await client.echoed(MEGABYTE)

    users = [asyncio.create_task(use()) for _ in range(50)]
    for mode in (proxy.reset, proxy.refuse, proxy.pass_through, proxy.reset, proxy.pass_through):
        await asyncio.sleep(0.01)
        mode()
    await asyncio.gather(*users, return_exceptions=True)
    await use()


async def test_impossible_arguments_are_refused(proxy: FaultProxy) -> None:
    for seconds in (-1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="finite"):
            proxy.delay(seconds)
    with pytest.raises(ValueError, match="n_bytes must be at least 0"):
        proxy.drop_after(-1)


async def test_a_redis_client_sees_the_fault_and_recovers(redis_server: RedisServer) -> None:
    server = urlsplit(redis_server.url)
    async with (
        FaultProxy(server.hostname or "", server.port or 6379) as proxy,
        Redis(host=proxy.host, port=proxy.port, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client,
    ):
        for mode in ("refuse", "reset", "black_hole", "delay", "drop_after"):
            assert await client.get("missing") is None
            MODES[mode](proxy)
            with pytest.raises(RedisTimeoutError if mode in {"black_hole", "delay"} else RedisConnectionError):
                await client.get("missing")
            proxy.pass_through()
