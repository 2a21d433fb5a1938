"""Tests of a store on a server when the network fails or the server dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any, ClassVar, Protocol

import pytest
from key_value.aio.core.operations import OPERATIONS
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError
from key_value.aio.protocols import AsyncKeyValue, AsyncKeyValueProtocol, AsyncLifecycleProtocol
from key_value.aio.testing.calls import calls_with
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, eventually
from key_value.aio.testing.faults import FaultProxy
from key_value.aio.testing.running import closing
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["FaultTests", "KillableServer"]

Fault = Callable[[FaultProxy], None]
StoreCall = Callable[[AsyncKeyValue], Awaitable[object]]

FAULTS: dict[str, Fault] = {
    "refuse": FaultProxy.refuse,
    "reset": FaultProxy.reset,
    "delay": lambda proxy: proxy.delay(3600),
    "black hole": FaultProxy.black_hole,
    "no answer": lambda proxy: proxy.drop_after(0),
    "answer cut short": lambda proxy: proxy.drop_after(2),
}

_LARGE_VALUE_BYTES = 1_000_000
# Allowance for metadata stored with the value.
_ENVELOPE_BYTES = 1000
# Longer than a stall of the machine, and than the timeout of most stores. The delay ends early if the event loop runs.
_DELAY_SECONDS = 10.0

VALUE = {"password": "hunter2"}

CALLS: dict[str, StoreCall] = {
    "get": lambda store: store.get("key"),
    "ttl": lambda store: store.ttl("key"),
    "put": lambda store: store.put("key", VALUE),
    "delete": lambda store: store.delete("key"),
    "get_many": lambda store: store.get_many(["key", "other"]),
    "ttl_many": lambda store: store.ttl_many(["key", "other"]),
    "put_many": lambda store: store.put_many(["key", "other"], [VALUE, VALUE]),
    "delete_many": lambda store: store.delete_many(["key", "other"]),
}

OPTIONAL_CALLS = {
    name: call for name, call in calls_with(VALUE).items() if OPERATIONS[name].protocol is not AsyncKeyValueProtocol
}

each_fault: pytest.MarkDecorator = pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
each_call: Decorator = for_each("call", CALLS, at_once=True)


class KillableServer(Protocol):
    """A server for a single test. `restart` keeps the port."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    def kill(self) -> None: ...

    def restart(self) -> None:
        """Start the server again, and return once it responds."""
        ...


class FaultTests(StoreContract[StoreT]):
    """Subclass it in addition to StoreTests, as `TestMyStoreUnderFaults(FaultTests[MyStore])`.

    Define `store_at` and a synchronous fixture `server_address` with the host and port of a real, empty server.
    Override the fixture `killable_server` if you can start a separate server for a test.
    """

    answer_limit: ClassVar[float] = 30.0
    """Seconds in which every call must end, whatever the fault, even on a busy machine.

    `store_at` must set much shorter timeouts.
    """

    load: ClassVar[int] = 200
    """The number of concurrent operations while the server is killed."""

    def store_at(self, host: str, port: int) -> StoreT:
        """Return a store for the server at this address, with timeouts much shorter than `answer_limit`."""
        raise NotImplementedError

    @pytest.fixture
    def killable_server(self) -> Iterator[KillableServer]:
        pytest.skip(f"{type(self).__name__} does not override the fixture killable_server")

    @pytest.fixture
    def turns(self) -> "_Turns":
        return _Turns()

    @each_fault
    @each_call
    async def test_a_call_through_a_fault_is_a_connection_error(
        self, server_address: tuple[str, int], turns: "_Turns", fault: Fault, call: StoreCall
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                async with turns:
                    await store.put("key", VALUE)
                fault(proxy)
                error = await self._outcome(call(store))
        self._check(error)

    @pytest.mark.parametrize("fault", [FAULTS["reset"], FAULTS["black hole"]], ids=["reset", "black hole"])
    @for_each("operation", list(OPTIONAL_CALLS), at_once=True)
    async def test_an_optional_call_through_a_fault_is_a_connection_error(
        self, server_address: tuple[str, int], turns: "_Turns", fault: Fault, operation: str
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            if not isinstance(store, OPERATIONS[operation].protocol):
                pytest.skip(f"{type(store).__name__} has no {operation}()")
            async with closing(store):
                async with turns:
                    await store.put("key", VALUE, collection="shelf")
                    call = await OPTIONAL_CALLS[operation].prepared(store)
                fault(proxy)
                error = await self._outcome(call(store))
        self._check(error)

    @each_fault
    async def test_a_setup_through_a_fault_is_a_connection_error_and_tells_when_it_is_over(
        self, server_address: tuple[str, int], fault: Fault
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                lifecycle = ability(store, AsyncLifecycleProtocol)
                await lifecycle.setup()
                fault(proxy)
                self._check(await self._outcome(lifecycle.setup()))
                proxy.pass_through()

                async def is_ready() -> bool:
                    return await self._outcome(lifecycle.setup()) is None

                assert await eventually(is_ready, within=self.answer_limit)

    @each_fault
    async def test_a_first_use_through_a_fault_is_a_connection_error(
        self, server_address: tuple[str, int], fault: Fault
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            fault(proxy)
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                error = await self._outcome(store.put("key", VALUE))
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
                await asyncio.gather(*(self._outcome(store.get("key")) for _ in range(10)))
                proxy.pass_through()
                await self._serves_again(store)

    @for_each("milliseconds", [0, 1, 3, 10])
    async def test_a_put_through_a_reset_leaves_the_old_or_the_new_value(
        self, server_address: tuple[str, int], milliseconds: int
    ) -> None:
        async with FaultProxy(*server_address) as proxy:
            store = self.store_at(proxy.host, proxy.port)
            old, new = ({"text": letter * _large_value_bytes(store)} for letter in "on")
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
                await store.put("key", {"text": "x" * _large_value_bytes(store)})
                proxy.drop_after(_large_value_bytes(store) // 2)
                error = await self._outcome(store.get("key"))
        self._check(error)

    async def test_the_event_loop_runs_on_while_the_server_is_slow(self, server_address: tuple[str, int]) -> None:
        with _proxy_in_thread(server_address) as (proxy, loop):
            store = self.store_at(proxy.host, proxy.port)
            async with closing(store):
                await store.put("key", VALUE)
                await _call_in_loop(loop, proxy.delay, _DELAY_SECONDS)
                slow = asyncio.ensure_future(store.get("key"))
                ticks = 0
                while ticks < 3 and not slow.done():
                    await asyncio.sleep(0.01)
                    ticks += 1
                await _call_in_loop(loop, proxy.pass_through)
                # 1 if the driver blocks the event loop: then the reply or a timeout comes before the second tick.
                assert ticks == 3
                assert await slow == VALUE

    async def test_every_call_under_load_fails_in_time_when_the_server_is_killed(
        self, killable_server: KillableServer
    ) -> None:
        store = self.store_at(killable_server.host, killable_server.port)
        async with closing(store):
            users = [asyncio.ensure_future(self._use_until_it_fails(store, number)) for number in range(self.load)]
            # Long enough for every user to have a call in flight.
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
            error = await self._outcome(store.put(f"key {number}", {"n": number}))
            if error is None:
                error = await self._outcome(store.get(f"key {number}"))
            if error is not None:
                return error

    async def _outcome(self, call: Awaitable[object]) -> Exception | None:
        """Return the error of the call, or None; fail the test if the call does not end in time."""
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
        # The driver's exception must be kept as the cause.
        assert error.__cause__ is not None
        assert not isinstance(error.__cause__, BaseKeyValueError)
        shown = f"{error!r} {error}"
        assert [secret for secret in ("hunter2", *self.secrets) if secret in shown] == []

    async def _serves_again(self, store: Any, *, at_once: int = 1) -> None:
        keys = [f"served {number}" for number in range(at_once)]

        async def serves() -> bool:
            # A pool may still return a few lost connections.
            errors = await asyncio.gather(*(self._outcome(store.put(key, {"key": key})) for key in keys))
            for error in filter(None, errors):
                self._check(error)
            return not any(errors)

        assert await eventually(serves, within=self.answer_limit)
        assert await store.get_many(keys) == [{"key": key} for key in keys]


class _Turns:
    """Lets concurrent rows prepare one after another, and begin their faults together.

    A store that opens while others wait for a dead server may exceed its own timeout. For example, a client of
    aerospike connects only after the scans of other clients have ended.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._preparing = 0
        self._all_prepared = asyncio.Event()

    async def __aenter__(self) -> None:
        self._preparing += 1
        await self._lock.acquire()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._lock.release()
        self._preparing -= 1
        if not self._preparing:
            self._all_prepared.set()
        if kind is None:
            await self._all_prepared.wait()


async def _call_in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    """Make the call in another event loop, and wait until it has returned."""

    async def made() -> None:
        call(*arguments)

    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(made(), loop))


def _large_value_bytes(store: object) -> int:
    """Return the size in bytes of a value that needs many packets: a million, or almost the limit of the store."""
    limit = capabilities_of(store).max_value_bytes
    return _LARGE_VALUE_BYTES if limit is None else min(_LARGE_VALUE_BYTES, limit - _ENVELOPE_BYTES)


@contextmanager
def _proxy_in_thread(
    server_address: tuple[str, int],
) -> Generator[tuple[FaultProxy, asyncio.AbstractEventLoop], None, None]:
    """Run a proxy in the event loop of another thread, so that a store that blocks the test's loop does not stop it."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = FaultProxy(*server_address)
    asyncio.run_coroutine_threadsafe(proxy.__aenter__(), loop).result()
    try:
        yield proxy, loop
    finally:
        asyncio.run_coroutine_threadsafe(proxy.__aexit__(None, None, None), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
