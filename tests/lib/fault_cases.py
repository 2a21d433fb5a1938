"""Outages of a store's only server, and calls that are cancelled or time out."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import pytest
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from key_value.aio.testing import FaultProxy
    from key_value.aio.testing.load import Load

StoreT = TypeVar("StoreT", bound=Any)


class OutageCases(Generic[StoreT]):
    """Base of the cases below: the subclass overrides the fixture `private_server`, and `open`."""

    load: ClassVar[Load]
    timeout: ClassVar[float]
    """Seconds, less than a call of the load may take."""

    @pytest.fixture
    def private_server(self) -> Any:
        raise NotImplementedError

    def open(self, server: Any, **options: Any) -> StoreT:
        raise NotImplementedError

    async def recovers(self, store: StoreT) -> bool:
        """Return whether the load is served after the outage. Override it for a driver that reconnects with a delay."""
        return await self.load.is_served(store)


class KillCases(OutageCases[StoreT]):
    async def test_a_store_fails_in_time_when_its_server_is_killed_and_serves_after_the_restart(
        self, private_server: Any
    ) -> None:
        async with self.open(private_server, timeout=self.timeout) as store:
            for error in await self.load.errors_after(store, private_server.kill):
                assert isinstance(error, StoreConnectionError)
            await asyncio.to_thread(private_server.restart)
            assert await self.recovers(store)


class FreezeCases(OutageCases[StoreT]):
    def check_errors_of_freeze(self, errors: Sequence[Exception]) -> None:
        for error in errors:
            assert isinstance(error, StoreTimeoutError)

    async def test_a_store_fails_in_time_when_its_server_freezes_and_serves_when_it_goes_on(
        self, private_server: Any
    ) -> None:
        async with self.open(private_server, timeout=self.timeout) as store:
            self.check_errors_of_freeze(await self.load.errors_after(store, private_server.pause))
            private_server.resume()
            assert await self.recovers(store)


class RestartCases(OutageCases[StoreT]):
    restart_options: ClassVar[dict[str, Any]] = {}
    """Options of the store."""
    blocks_event_loop: ClassVar[bool] = False
    """Whether the event loop is blocked during the restart, so that it cannot notice the closed connections."""

    async def test_the_first_use_after_a_restart_finds_no_dead_connection(self, private_server: Any) -> None:
        async with self.open(private_server, **self.restart_options) as store:
            assert await self.load.is_served(store)
            if self.blocks_event_loop:
                private_server.restart()
            else:
                await asyncio.to_thread(private_server.restart)
            assert await self.load.is_served(store)


# Cancelled and timed-out calls


async def cancel_at_random(calls: list[Awaitable[object]]) -> None:
    """Run the calls concurrently and cancel fifty at a time, until all have ended."""
    chance = random.Random(7)  # noqa: S311 — reproducible
    tasks = [asyncio.ensure_future(call) for call in calls]
    while any(not task.done() for task in tasks):
        for task in chance.sample(tasks, 50):
            task.cancel()
        await asyncio.sleep(chance.choice([0, 0, 0.001]))


async def check_cancelled_calls_leave_no_answers(store: Any, *, calls: int = 500, ttl: int = 60) -> None:
    """Check that later calls get their own answers. `calls` is the number of concurrent calls of each kind."""
    keys = [f"key {number}" for number in range(calls)]
    await store.put_many(keys, [{"key": key} for key in keys])
    for _ in range(3):
        await cancel_at_random([store.get(key) for key in keys])
        await cancel_at_random([store.get_many([key, "absent"]) for key in keys])
        await cancel_at_random([store.put(key, {"key": key}, ttl=ttl) for key in keys])
        await cancel_at_random([store.put_many([key], [{"key": key}], ttl=ttl) for key in keys])
    assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
    assert await store.get_many(keys) == [{"key": key} for key in keys]


async def check_timed_out_calls_leave_no_answers(proxy: FaultProxy, store: Any, *, with_batches: bool = True) -> None:
    """Check that later calls get their own answers. The store is behind the proxy, with a timeout of a few seconds."""
    await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}])
    proxy.delay(60)
    with pytest.raises(StoreTimeoutError):
        await store.get("one")
    if with_batches:
        with pytest.raises(StoreTimeoutError):
            await store.get_many(["one", "two"])
    proxy.pass_through()
    assert [await store.get("two"), await store.get("one")] == [{"n": 2}, {"n": 1}]
    assert await store.get_many(["two", "one"]) == [{"n": 2}, {"n": 1}]
