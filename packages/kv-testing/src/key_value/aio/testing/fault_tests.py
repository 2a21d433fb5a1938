"""What a store on a server does when the network fails or the server dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, ClassVar, Protocol

import pytest
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.testing.contract import StoreContract, StoreT, eventually
from key_value.aio.testing.faults import FaultProxy
from key_value.aio.testing.running import closing

__all__ = ["FaultTests", "KillableServer"]

Fault = Callable[[FaultProxy], None]
Call = Callable[[AsyncKeyValue], Awaitable[object]]

FAULTS: dict[str, Fault] = {
    "refuse": FaultProxy.refuse,
    "reset": FaultProxy.reset,
    "delay": lambda proxy: proxy.delay(3600),
    "black hole": FaultProxy.black_hole,
    "no answer": lambda proxy: proxy.drop_after(0),
    "answer cut short": lambda proxy: proxy.drop_after(2),
}

VALUE = {"password": "hunter2"}

CALLS: dict[str, Call] = {
    "get": lambda store: store.get("key"),
    "ttl": lambda store: store.ttl("key"),
    "put": lambda store: store.put("key", VALUE),
    "delete": lambda store: store.delete("key"),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "ttl_many": lambda store: store.ttl_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [VALUE, VALUE]),
    "delete_many": lambda store: store.delete_many(["key", "other"]),
}

each_fault = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


class KillableServer(Protocol):
    """A server that belongs to one test; on its port it serves again after `restart`."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    def kill(self) -> None: ...

    def restart(self) -> None:
        """Return once the server answers."""
        ...


class FaultTests(StoreContract[StoreT]):
    """Subclass it beside StoreTests as `TestMyStoreUnderFaults(FaultTests[MyStore])`.

    The subclass gives `store_at` and a synchronous fixture `server_address`: host and port of a real server with
    nothing stored. It overrides the fixture `killable_server` where a test can have a server of its own.
    """

    answer_limit: ClassVar[float] = 5.0
    """Seconds in which a call must end, whatever happens. `store_at` gives the store shorter timeouts than that."""

    load: ClassVar[int] = 200
    """Concurrent operations under which the server is killed."""

    def store_at(self, host: str, port: int) -> StoreT:
        raise NotImplementedError

    @pytest.fixture
    def killable_server(self) -> Iterator[KillableServer]:
        pytest.skip(f"{type(self).__name__} does not override the fixture killable_server")

    @each_fault
    @each_call
    async def test_a_call_through_a_fault_is_a_connection_error(
        self, server_address: tuple[str, int], fault: Fault, call: Call
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", VALUE)
                fault(proxy)
                error = await self._error_of(call(store))
        self._check(error)

    @each_fault
    async def test_a_first_use_through_a_fault_is_a_connection_error(
        self, server_address: tuple[str, int], fault: Fault
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            fault(proxy)
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                error = await self._error_of(store.put("key", VALUE))
                self._check(error)
                proxy.pass_through()
                await self._serves_again(store)

    @each_fault
    async def test_the_same_store_serves_when_the_fault_is_over(
        self, server_address: tuple[str, int], fault: Fault
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", VALUE)
                fault(proxy)
                await asyncio.gather(*(self._error_of(store.get("key")) for _ in range(10)))
                proxy.pass_through()
                await self._serves_again(store)

    @pytest.mark.parametrize("milliseconds", [0, 1, 3, 10])
    async def test_a_put_through_a_reset_leaves_the_old_or_the_new_value(
        self, server_address: tuple[str, int], milliseconds: int
    ) -> None:
        old, new = {"text": "o" * 1_000_000}, {"text": "n" * 1_000_000}
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", old)
                put = asyncio.ensure_future(store.put("key", new))
                await asyncio.sleep(milliseconds / 1000)
                proxy.reset()
                await asyncio.gather(put, return_exceptions=True)
                proxy.pass_through()
                await self._serves_again(store)
                assert await store.get("key") in (old, new)

    async def test_a_long_answer_cut_short_is_no_value(self, server_address: tuple[str, int]) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", {"text": "x" * 1_000_000})
                proxy.drop_after(500_000)
                error = await self._error_of(store.get("key"))
        self._check(error)

    async def test_the_event_loop_runs_on_while_the_server_is_slow(self, server_address: tuple[str, int]) -> None:
        with _slow_proxy(server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", VALUE)
                slow = asyncio.ensure_future(store.get("key"))
                ticks = 0
                while not slow.done():
                    await asyncio.sleep(0.01)
                    ticks += 1
        assert slow.result() == VALUE
        # Ten, less what a busy machine may take; one when the driver blocks.
        assert ticks >= 3

    async def test_every_call_under_load_fails_in_time_when_the_server_is_killed(
        self, killable_server: KillableServer
    ) -> None:
        store = self.store_at(killable_server.host, killable_server.port)
        async with closing(store):
            users = [asyncio.ensure_future(self._use_until_it_fails(store, number)) for number in range(self.load)]
            # Long enough for every user to be in the middle of something.
            await asyncio.sleep(0.2)
            assert not any(user.done() for user in users)
            await asyncio.to_thread(killable_server.kill)
            for error in await asyncio.gather(*users):
                self._check(error)
            await asyncio.to_thread(killable_server.restart)
            await self._serves_again(store)

    async def test_a_store_that_lost_its_server_under_load_carries_the_load_again(
        self, killable_server: KillableServer
    ) -> None:
        store = self.store_at(killable_server.host, killable_server.port)
        async with closing(store):
            await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number in range(self.load)))
            await asyncio.to_thread(killable_server.kill)
            await asyncio.to_thread(killable_server.restart)
            await self._serves_again(store, at_once=self.load)

    async def _use_until_it_fails(self, store: StoreT, number: int) -> Exception | None:
        while True:
            error = await self._error_of(store.put(f"key {number}", {"n": number}))
            if error is None:
                error = await self._error_of(store.get(f"key {number}"))
            if error is not None:
                return error

    async def _error_of(self, call: Awaitable[object]) -> Exception | None:
        """What the call raises; fails the test when it does not end in time."""
        start = time.monotonic()
        task = asyncio.ensure_future(call)
        await asyncio.wait([task], timeout=self.answer_limit)
        if not task.done():
            task.cancel()
            pytest.fail(f"a call has not ended after {time.monotonic() - start:.1f} s: the store has no timeout")
        error = task.exception()
        assert error is None or isinstance(error, Exception)
        return error

    def _check(self, error: Exception | None) -> None:
        assert isinstance(error, StoreConnectionError)
        # The driver's own exception, for whoever looks for the reason.
        assert error.__cause__ is not None
        assert not isinstance(error.__cause__, BaseKeyValueError)
        shown = f"{error!r} {error}"
        assert [secret for secret in ("hunter2", *self.secrets) if secret in shown] == []

    async def _serves_again(self, store: Any, *, at_once: int = 1) -> None:
        keys = [f"served {number}" for number in range(at_once)]

        async def serves() -> bool:
            # A pool may hand out a few more of the connections that were lost.
            errors = await asyncio.gather(*(self._error_of(store.put(key, {"key": key})) for key in keys))
            for error in filter(None, errors):
                self._check(error)
            return not any(errors)

        assert await eventually(serves, within=self.answer_limit)
        assert await store.get_many(keys) == [{"key": key} for key in keys]


@contextmanager
def _slow_proxy(server_address: tuple[str, int]) -> Generator[FaultProxy, None, None]:
    """A proxy in an event loop of its own, which a store that blocks the one of the test does not stop."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = FaultProxy(*server_address)
    proxy.delay(0.1)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
