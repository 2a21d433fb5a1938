"""Connections when a store closes, an event loop ends, and the process forks; requests in threads."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.vault import VaultStore
from key_value.aio.testing.faults import FaultProxy
from lifetimes import check_forked_child, check_loops_one_after_another

from .conftest import Hvac, changed, raw_client

if TYPE_CHECKING:
    from servers.vault import VaultServer

    from .conftest import Raw


def store_source(place: dict[str, Any], *, passed_in: bool) -> str:
    """Return the source text that constructs a store, for use in programs."""
    if not passed_in:
        return f"VaultStore(**{place!r})"
    client = f"hvac.Client({place['url']!r}, token={place['token']!r})"
    return f"VaultStore(client={client}, mount_point={place['mount_point']!r})"


each_transport = pytest.mark.parametrize("passed_in", [False, True], ids=["own connections", "client"])


@each_transport
@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_successive_event_loops_leave_no_connection_open(
    place: dict[str, Any], ending: str, *, passed_in: bool
) -> None:
    beginning = f"""
import hvac
from key_value.aio.stores.vault import VaultStore
store = {store_source(place, passed_in=passed_in)}
"""
    # The library requests leaves a client's connections to garbage collection, with or without a store.
    await check_loops_one_after_another(beginning, ending, strict=not passed_in)


@each_transport
@pytest.mark.parametrize("child_loop", ["asyncio.run", "loop.run_until_complete"])
async def test_a_forked_child_opens_its_own_connections(
    place: dict[str, Any], child_loop: str, *, passed_in: bool
) -> None:
    beginning = f"""
import hvac
from key_value.aio.stores.vault import VaultStore
store = {store_source(place, passed_in=passed_in)}
"""
    await check_forked_child(beginning, child_loop)


async def test_close_under_load_ends_every_call_and_leaves_no_connection_open(place: dict[str, Any]) -> None:
    store = VaultStore(**place)
    await store.setup()
    calls = [asyncio.ensure_future(store.put(f"key {number}", {"n": number})) for number in range(200)]
    await asyncio.sleep(0.02)
    await store.close()
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert outcome is None or isinstance(outcome, StoreConnectionError)
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    await store.close()
    gc.collect()


async def test_a_cancelled_first_use_does_not_affect_concurrent_uses(
    vault_server: VaultServer, place: dict[str, Any]
) -> None:
    async with FaultProxy(*vault_server.address) as proxy:
        proxy.delay(3600)
        store = VaultStore(**changed(place, url=f"http://{proxy.host}:{proxy.port}"))
        uses = [asyncio.ensure_future(store.get("key")) for _ in range(10)]
        await asyncio.sleep(0.01)
        uses[0].cancel()
        proxy.pass_through()
        answers = await asyncio.gather(*uses, return_exceptions=True)
        await store.close()
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [None] * 9


async def test_a_connection_reset_while_idle_is_reopened(vault_server: VaultServer, place: dict[str, Any]) -> None:
    async with (
        FaultProxy(*vault_server.address) as proxy,
        VaultStore(**changed(place, url=f"http://{proxy.host}:{proxy.port}")) as store,
    ):
        await store.put("key", {"n": 1})
        proxy.reset()
        await asyncio.sleep(0.05)
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}


async def test_a_client_that_was_passed_in_does_not_block_the_event_loop(vault_server: VaultServer, raw: Raw) -> None:
    async with FaultProxy(*vault_server.address) as proxy:
        client = Hvac(f"http://{proxy.host}:{proxy.port}", token=vault_server.token)
        store = VaultStore(client=client, mount_point=raw.mount_point)
        await store.put("key", {"n": 1})
        proxy.delay(3600)
        slow = asyncio.ensure_future(store.get("key"))
        for _ in range(3):
            await asyncio.sleep(0.01)
            # If the driver blocked the loop, the call would have failed before this line.
            assert not slow.done()
        proxy.pass_through()
        assert await slow == {"n": 1}


async def test_requests_of_a_client_run_in_a_bounded_number_of_threads(vault_server: VaultServer, raw: Raw) -> None:
    client = raw_client(vault_server)
    threads: list[int] = []
    in_flight, most = 0, 0
    request = client.adapter.request

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal in_flight, most
        threads.append(threading.get_ident())
        in_flight += 1
        most = max(most, in_flight)
        try:
            return request(*args, **options)
        finally:
            in_flight -= 1

    client.adapter.request = counted
    store = VaultStore(client=client, mount_point=raw.mount_point, max_connections=4)
    await store.put_many([f"key {number}" for number in range(40)], [{"n": 1}] * 40)
    assert len(threads) == 40
    assert threading.get_ident() not in threads
    assert 1 < most <= 4
