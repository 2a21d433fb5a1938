"""Outages and answers of the server, and cancelled calls, beyond the kit's tests for every store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from fault_cases import (
    FreezeCases,
    KillCases,
    OutageCases,
    RestartCases,
    check_cancelled_calls_leave_no_answers,
    check_timed_out_calls_leave_no_answers,
)
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError, StoreTimeoutError
from key_value.aio.stores.memcached import MemcachedStore, connector
from key_value.aio.testing.contract import eventually
from servers.memcached import MemcachedServer
from typing_extensions import override

from .conftest import LOAD, TIMEOUT, proxied

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from tests.conftest import RunServer


def store_of(server: MemcachedServer, **options: Any) -> MemcachedStore:
    return MemcachedStore(host=server.host, port=server.port, **options)


class _Outages(OutageCases[MemcachedStore]):
    load = LOAD
    timeout = TIMEOUT

    @pytest.fixture
    @override
    def private_server(self, private_memcached: MemcachedServer) -> MemcachedServer:
        return private_memcached

    @override
    def open(self, server: MemcachedServer, **options: Any) -> MemcachedStore:
        return store_of(server, **options)


class TestMemcachedStoreInOutages(_Outages, KillCases[MemcachedStore], FreezeCases[MemcachedStore]):
    pass


class TestMemcachedStoreAfterRestart(_Outages, RestartCases[MemcachedStore]):
    blocks_event_loop = True

    @pytest.fixture(autouse=True)
    def _check_always(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Make the store check its connection after any idle time: a restart may take less than the usual 0.5 s."""
        monkeypatch.setattr(connector, "_MAX_IDLE_SECONDS", 0)


async def test_a_version_from_before_a_restart_matches_no_new_entry(private_memcached: MemcachedServer) -> None:
    async with store_of(private_memcached) as store:
        await store.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        await asyncio.to_thread(private_memcached.restart)
        # The server restarts its counter: this entry has the same number as the earlier one.
        await store.put("key", {"n": 2})
        assert version is not None
        assert not await store.put_if_version("key", {"n": 3}, version)
        assert not await store.delete_if_version("key", version)
        assert await store.get("key") == {"n": 2}


# Answers of the server


async def test_a_server_out_of_memory_is_not_a_connection_error(run_server: RunServer) -> None:
    # Two megabytes, and an error instead of evicting the least recently used items.
    with run_server(MemcachedServer("-m", "2", "-M")) as server:
        async with store_of(server) as store:
            keys = [f"key {number}" for number in range(100)]
            with pytest.raises(KeyValueStoreError, match="out of memory") as refusal:
                await store.put_many(keys, [{"text": "x" * 100_000}] * 100)
            assert not isinstance(refusal.value, (StoreConnectionError, StoreSetupError))
            assert await store.get("key 0") == {"text": "x" * 100_000}


async def test_an_evicted_entry_is_absent(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-m", "2")) as server:
        async with store_of(server) as store:
            for number in range(100):
                await store.put(f"key {number}", {"text": "x" * 100_000})
            found = await store.get_many([f"key {number}" for number in range(100)])
            assert found[99] == {"text": "x" * 100_000}
            assert None in found


async def test_an_item_above_the_server_limit_is_an_error_that_names_max_item_bytes(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-I", "64k", "-o", "slab_chunk_max=32768")) as server:
        async with store_of(server) as store:
            with pytest.raises(KeyValueStoreError, match="max_item_bytes"):
                await store.put("key", {"text": "x" * 100_000})
            assert await store.get("key") is None
            await store.put("key", {"n": 1})


async def test_a_server_at_its_connection_limit_is_a_connection_error(run_server: RunServer) -> None:
    with run_server(MemcachedServer("-c", "20", "-t", "1", "-o", "maxconns_fast")) as server:
        stores = [store_of(server, timeout=60) for _ in range(25)]
        errors = [await error_of(store.put("key", {"n": 1})) for store in stores]
        assert {type(error) for error in errors if error is not None} == {StoreConnectionError}
        for store in stores:
            await store.close()

        async def serves() -> bool:
            # The server closes its side a moment after the client.
            return await error_of(stores[-1].put("key", {"n": 1})) is None

        assert await eventually(serves, within=60)
        await stores[-1].close()


async def error_of(call: Awaitable[object]) -> Exception | None:
    try:
        await call
    except Exception as error:  # noqa: BLE001 — the test inspects it
        return error
    return None


# Cancellation


async def test_a_cancelled_call_leaves_no_answer_for_a_later_call(store: MemcachedStore) -> None:
    await check_cancelled_calls_leave_no_answers(store)


async def test_a_timed_out_call_leaves_no_answer_for_a_later_call(raw: Any) -> None:
    async with proxied(raw, timeout=2) as (proxy, store):
        await check_timed_out_calls_leave_no_answers(proxy, store)


async def test_an_unanswered_batch_in_many_parts_is_a_timeout(raw: Any) -> None:
    keys = [f"key {number}" for number in range(40)]
    async with proxied(raw, timeout=2) as (proxy, store):
        await store.get_many(keys)
        proxy.black_hole()
        with pytest.raises(StoreTimeoutError):
            await store.put_many(keys, [{"text": "x" * 900_000}] * 40)
        proxy.pass_through()
        await store.put_many(keys, [{"n": 1}] * 40)
        assert await store.get_many(keys) == [{"n": 1}] * 40
