"""Faults and load specific to Valkey and its driver, beyond the kit's tests for every store."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from fault_cases import check_cancelled_calls_leave_no_answers, check_timed_out_calls_leave_no_answers
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.valkey import ValkeyStore
from key_value.aio.testing.load import Load
from redis_cases import RedisOutageCases, proxy_to
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from servers.valkey import ValkeyServer

TIMEOUT = 2.0
# Allow for a busy machine.
LOAD = Load(100, seconds=TIMEOUT + 20.0)
# The driver tries to reconnect every 0.2 seconds.
RECOVERY_SECONDS = 60.0


class TestValkeyStoreInOutages(RedisOutageCases[ValkeyStore]):
    load = LOAD
    timeout = TIMEOUT

    @pytest.fixture
    @override
    def private_server(self, private_valkey: ValkeyServer) -> ValkeyServer:
        return private_valkey

    @override
    def open(self, server: ValkeyServer, **options: Any) -> ValkeyStore:
        return ValkeyStore.from_url(server.url, **options)

    @override
    def check_errors_of_freeze(self, errors: Sequence[Exception]) -> None:
        for error in errors:
            assert isinstance(error, StoreConnectionError)

    @override
    async def recovers(self, store: ValkeyStore) -> bool:
        deadline = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                await store.get("key")
                break
            except StoreConnectionError:
                assert time.monotonic() < deadline
        return await LOAD.is_served(store)


# Cancellation


async def test_a_cancelled_call_leaves_no_answer_for_a_later_call(store: ValkeyStore) -> None:
    await check_cancelled_calls_leave_no_answers(store, calls=300)


async def test_a_timed_out_call_leaves_no_answer_for_a_later_call(raw: Any) -> None:
    async with proxy_to(raw) as proxy, ValkeyStore(host=proxy.host, port=proxy.port, timeout=2) as store:
        # A second call would reconnect, and report that this failed.
        await check_timed_out_calls_leave_no_answers(proxy, store, with_batches=False)


async def test_a_thousand_calls_share_one_connection(store: ValkeyStore, raw: Any) -> None:
    before = len(raw.client_list())
    assert await Load(1000, seconds=60.0).is_served(store)
    assert len(raw.client_list()) == before


async def test_a_large_batch_has_a_longer_time_limit(raw: Any) -> None:
    keys = [f"key {number}" for number in range(3000)]
    async with proxy_to(raw) as proxy, ValkeyStore(host=proxy.host, port=proxy.port, timeout=3) as store:
        await store.put_many(keys, [{"n": 1}] * 3000)
        proxy.delay(4)
        assert None not in await store.get_many(keys)
        proxy.pass_through()


async def test_an_unknown_database_is_a_setup_error(url: str) -> None:
    store = ValkeyStore.from_url(f"{url.rpartition('/')[0]}/12345")
    with pytest.raises(StoreSetupError, match="no database with this number"):
        await store.setup()
    await store.close()


async def test_a_connection_attempt_that_times_out_is_reported_and_cancels_no_call(raw: Any) -> None:
    async with proxy_to(raw) as proxy:
        proxy.black_hole()
        store = ValkeyStore(host=proxy.host, port=proxy.port, timeout=0.2)
        outcomes = await asyncio.gather(*(store.get("key") for _ in range(20)), return_exceptions=True)
        assert all(isinstance(outcome, StoreConnectionError) for outcome in outcomes)
        proxy.pass_through()
        await store.close()


async def test_a_cancelled_task_stays_cancelled(private_valkey: ValkeyServer) -> None:
    async with ValkeyStore.from_url(private_valkey.url) as store:
        private_valkey.pause()
        task = asyncio.create_task(store.get("key"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        private_valkey.resume()
        assert await store.get("key") is None
