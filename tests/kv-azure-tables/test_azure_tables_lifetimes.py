"""Connections when a store closes, when an event loop ends, and when the process forks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.azure_tables import AzureTablesStore
from key_value.aio.testing.faults import FaultProxy
from lifetimes import FORKS, check_closing_under_load, check_forked_child, check_loops_one_after_another, run_strictly

from .conftest import through

if TYPE_CHECKING:
    from servers.azure_tables import AzureTablesServer


def beginning(place: dict[str, Any]) -> str:
    """Return source code that constructs the store in another program."""
    return f"""
from key_value.aio.stores.azure_tables import AzureTablesStore
store = AzureTablesStore(**{place!r}, timeout=60.0)
"""


@pytest.mark.parametrize("ending", ["await store.close()", "pass"])
async def test_consecutive_event_loops_leave_nothing_open(place: dict[str, Any], ending: str) -> None:
    await check_loops_one_after_another(beginning(place), ending)


@pytest.mark.parametrize("child_loop", ["asyncio.run", "loop.run_until_complete"])
async def test_a_forked_child_has_connections_of_its_own(place: dict[str, Any], child_loop: str) -> None:
    await check_forked_child(beginning(place), child_loop)


async def test_parent_and_children_get_their_answers_when_forking_under_load(place: dict[str, Any]) -> None:
    program = f"""{beginning(place)}
async def use():
    await store.put("shared", {{"n": 1}})
    assert await store.get("shared") == {{"n": 1}}
{FORKS.format(forks=5)}"""
    printed = await asyncio.to_thread(run_strictly, program, "DeprecationWarning", "ResourceWarning")
    assert printed == [str([0] * 10)]


async def test_closing_under_load_answers_every_call(place: dict[str, Any]) -> None:
    await check_closing_under_load(AzureTablesStore(**place))


async def test_a_connection_that_was_reset_while_idle_is_reopened(
    azure_tables_server: AzureTablesServer, place: dict[str, Any]
) -> None:
    async with (
        FaultProxy(*azure_tables_server.address) as proxy,
        AzureTablesStore(**through(azure_tables_server, place, proxy.host, proxy.port)) as store,
    ):
        await store.put("key", {"n": 1})
        proxy.reset()
        await asyncio.sleep(0.05)
        proxy.pass_through()
        assert await store.get("key") == {"n": 1}


async def test_a_cancelled_first_use_leaves_other_calls_their_client(place: dict[str, Any]) -> None:
    async with AzureTablesStore(**place) as setting_up:
        await setting_up.setup()
    store = AzureTablesStore(**place)
    uses = [asyncio.ensure_future(store.get("key")) for _ in range(10)]
    await asyncio.sleep(0)
    uses[0].cancel()
    answers = await asyncio.gather(*uses, return_exceptions=True)
    await store.close()
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == [None] * 9
