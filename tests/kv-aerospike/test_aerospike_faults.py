"""Faults, load and lifetimes specific to the C client and the threads that call it, beyond the kit's tests."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from fault_cases import FreezeCases, RestartCases, check_cancelled_calls_leave_no_answers
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.aerospike import AerospikeStore
from key_value.aio.testing import FaultProxy
from key_value.aio.testing.contract import eventually
from key_value.aio.testing.load import Load
from lifetimes import FORK_IN_A_CALL, check_closing_at_once, check_fork, needs_fork
from typing_extensions import override
from workspace import run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Sequence

    from servers.aerospike import AerospikeServer

    from .conftest import Raw

TIMEOUT = 3.0
# Allow for a busy machine; a call without a limit would never return.
LOAD = Load(200, seconds=TIMEOUT + 30.0)


def store_of(server: AerospikeServer, **options: Any) -> AerospikeStore:
    return AerospikeStore(hosts=[(server.host, server.port)], **options)


# Server outages


class TestAerospikeStoreInOutages(FreezeCases[AerospikeStore], RestartCases[AerospikeStore]):
    load = LOAD
    timeout = TIMEOUT
    # Keep the client from checking the server by itself, however long a start takes.
    restart_options: ClassVar[dict[str, Any]] = {"timeout": 60.0, "client_config": {"tend_interval": 300_000}}
    blocks_event_loop = True

    @pytest.fixture
    @override
    def private_server(self, private_aerospike: AerospikeServer) -> AerospikeServer:
        return private_aerospike

    @override
    def open(self, server: AerospikeServer, **options: Any) -> AerospikeStore:
        return store_of(server, **options)

    @override
    def check_errors_of_freeze(self, errors: Sequence[Exception]) -> None:
        assert any(isinstance(error, StoreTimeoutError) for error in errors)
        # Once many calls have failed, the client refuses further calls for up to a second.
        assert {type(error) for error in errors} <= {StoreTimeoutError, StoreConnectionError}

    @override
    async def recovers(self, store: AerospikeStore) -> bool:
        """Whether the load is served, within a minute: the client retries the server after up to a second."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(StoreConnectionError):
                return await LOAD.is_served(store)
            await asyncio.sleep(0.1)
        return False


async def test_every_call_fails_once_the_client_has_no_server_left(private_aerospike: AerospikeServer) -> None:
    # For batches and listings, the client itself then reports success.
    async with store_of(private_aerospike, client_config={"tend_interval": 250}) as store:
        await store.put("key", {"n": 1})
        version = (await store.get_versioned("key")).version
        assert version is not None
        private_aerospike.kill()

        async def has_no_server() -> bool:
            with pytest.raises(StoreConnectionError) as refusal:
                await store.get("key")
            return "no server is left" in str(refusal.value)

        assert await eventually(has_no_server, within=60)
        calls: list[Awaitable[object]] = [
            store.setup(),
            store.put("key", {"n": 1}),
            store.put("key", {"n": 1}, ttl=5),
            store.delete("key"),
            store.get_many(["key", "other"]),
            store.put_many(["key", "other"], [{"n": 1}] * 2),
            store.put_many(["key", "other"], [{"n": 1}] * 2, ttl=5),
            store.delete_many(["key", "other"]),
            store.get_versioned("key"),
            store.put_if_absent("key", {"n": 1}),
            store.put_if_version("key", {"n": 1}, version),
            store.delete_if_version("key", version),
            store.keys(),
            store.scan(),
            store.collections(),
            store.destroy_collection("default_collection"),
            store.destroy(),
        ]
        for call in calls:
            with pytest.raises(StoreConnectionError):
                await call
        await asyncio.to_thread(private_aerospike.restart)

        async def serves() -> bool:
            with suppress(StoreConnectionError):
                await store.put("key", {"n": 2})
                return await LOAD.is_served(store)
            return False

        assert await eventually(serves, within=60)


# Threads and time


async def test_a_cancelled_call_does_not_affect_other_calls(store: AerospikeStore) -> None:
    await check_cancelled_calls_leave_no_answers(store, calls=300, ttl=600)


async def test_a_single_operation_does_not_wait_behind_batches(raw: Raw) -> None:
    values = [{"text": "x" * 900_000}] * 20
    async with AerospikeStore(**raw.options, max_connections=1) as store:
        await store.put("key", {"n": 1})
        batches = [
            asyncio.ensure_future(store.put_many([f"{batch} {number}" for number in range(20)], values))
            for batch in range(12)
        ]
        await asyncio.sleep(0)
        assert await store.get("key") == {"n": 1}
        assert not all(batch.done() for batch in batches)
        await asyncio.gather(*batches)


async def test_calls_waiting_for_a_thread_fail_at_their_own_deadline(raw: Raw) -> None:
    async with FaultProxy(raw.host, raw.port) as proxy:
        options = raw.options_with(hosts=[(proxy.host, proxy.port)], timeout=TIMEOUT, max_connections=2)
        async with AerospikeStore(**options) as store:
            await store.put("key", {"n": 1})
            proxy.black_hole()
            start = time.monotonic()
            for error in await asyncio.gather(*(store.get("key") for _ in range(50)), return_exceptions=True):
                assert isinstance(error, StoreTimeoutError)
            # Concurrently, not one after another.
            assert time.monotonic() - start < TIMEOUT * 25
            proxy.pass_through()


async def test_calls_in_flight_at_close_are_answered(store: AerospikeStore) -> None:
    await check_closing_at_once(store, LOAD)


async def test_close_ends_every_thread_and_the_next_use_starts_new_ones(store: AerospikeStore) -> None:
    await store.close()
    before = threads()
    assert await LOAD.is_served(store)
    await store.get_many(["key 1", "key 2"])
    assert threads() > before
    await store.close()

    async def ended() -> bool:
        return threads() <= before

    assert await eventually(ended, within=60)


def threads() -> int:
    """Return the number of threads, including those of the C client where the system reports them."""
    tasks = "/proc/self/task"
    return len(os.listdir(tasks)) if os.path.isdir(tasks) else threading.active_count()  # noqa: PTH112, PTH208 — as above


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_use_a_store_and_the_program_ends(raw: Raw, ending: str) -> None:
    program = f"""
import asyncio, atexit, gc
from key_value.aio.stores.aerospike import AerospikeStore

store = AerospikeStore(**{raw.options!r})

async def main(number):
    await asyncio.gather(*(store.put(f"key {{number}}", {{"n": number}}) for _ in range(20)))
    assert await store.get_many([f"key {{number}}"]) == [{{"n": number}}]
    {ending}

def at_exit():
    asyncio.run(main(7))
    print("done")

atexit.register(at_exit)
for number in range(3):
    asyncio.run(main(number))
    gc.collect()
"""
    assert await asyncio.to_thread(run, sys.executable, "-W", "error", "-c", program) == "done\n"


# Forks


FORKS = {
    "in a call, for another event loop": FORK_IN_A_CALL,
    # Parent and child cannot use it at once: asyncio's threads wake it through one socket, which both would read.
    "between calls, for the same event loop": """
loop = asyncio.new_event_loop()
loop.run_until_complete(use("idle"))
process = os.fork() or child(loop.run_until_complete)
wait_for(process)
loop.run_until_complete(use("parent"))
""",
}


@needs_fork
@pytest.mark.parametrize("fork", FORKS.values(), ids=FORKS)
async def test_a_forked_child_and_its_parent_use_separate_clients(raw: Raw, fork: str) -> None:
    beginning = f"""
from key_value.aio.stores.aerospike import AerospikeStore
store = AerospikeStore(**{raw.options!r})
"""
    await check_fork(beginning, fork, calls=200)


@needs_fork
async def test_a_client_that_was_passed_in_is_refused_in_a_forked_child(raw: Raw) -> None:
    program = f"""
import asyncio, os, aerospike
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.aerospike import AerospikeStore

store = AerospikeStore(client=aerospike.client({{"hosts": [({raw.host!r}, {raw.port})]}}), set_name="kv-test")
process = os.fork()
if not process:
    code = 1
    try:
        asyncio.run(store.put("key", {{"n": 1}}))
    except StoreSetupError as error:
        code = 0 if "fork" in str(error) else 2
    finally:
        os._exit(code)
asyncio.run(store.put("key", {{"n": 1}}))
print(os.waitpid(process, 0)[1])
"""
    assert await asyncio.to_thread(run, sys.executable, "-W", "ignore", "-c", program) == "0\n"
