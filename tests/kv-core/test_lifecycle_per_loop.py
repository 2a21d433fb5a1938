"""PerLoop: one resource for each event loop, closed or released with it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from key_value.aio.core.lifecycle import PerLoop

from .forking import forks, in_child


class Resource:
    def __init__(self) -> None:
        self.closed_in: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        self.closed_in = asyncio.get_running_loop()


@pytest.fixture
def per_loop() -> PerLoop[Resource]:
    return PerLoop(Resource, Resource.close)


async def test_a_loop_keeps_its_resource(per_loop: PerLoop[Resource]) -> None:
    assert per_loop.get() is per_loop.get()
    await per_loop.close()


def test_each_loop_has_its_own_resource_and_closes_it_when_it_ends(per_loop: PerLoop[Resource]) -> None:
    async def use() -> tuple[Resource, asyncio.AbstractEventLoop]:
        return per_loop.get(), asyncio.get_running_loop()

    first, second = asyncio.run(use()), asyncio.run(use())
    assert first[0] is not second[0]
    assert (first[0].closed_in, second[0].closed_in) == (first[1], second[1])


async def test_a_new_resource_is_created_after_closing(per_loop: PerLoop[Resource]) -> None:
    first = per_loop.get()
    await per_loop.close()
    assert first.closed_in is asyncio.get_running_loop()
    assert per_loop.get() is not first
    await per_loop.close()


async def test_closing_closes_each_resource_in_its_own_loop(per_loop: PerLoop[Resource]) -> None:
    opened, go_on = threading.Event(), threading.Event()
    others: list[Resource] = []

    async def use() -> None:
        others.append(per_loop.get())
        opened.set()
        await asyncio.to_thread(go_on.wait)

    thread = threading.Thread(target=asyncio.run, args=(use(),))
    thread.start()
    await asyncio.to_thread(opened.wait)
    await per_loop.close()
    go_on.set()
    await asyncio.to_thread(thread.join)
    assert others[0].closed_in not in (None, asyncio.get_running_loop())


async def get_from(per_loop: PerLoop[Resource]) -> Resource:
    return per_loop.get()


def test_the_resource_of_a_closed_loop_is_released_when_another_loop_gets_its_own() -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append)
    closed, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    resource = closed.run_until_complete(get_from(per_loop))
    closed.close()
    other.run_until_complete(get_from(per_loop))
    assert released == [resource]
    other.run_until_complete(per_loop.close())
    other.close()


@pytest.mark.parametrize("is_idle", [True, False])
def test_the_resource_of_a_stopped_loop_is_released_only_if_it_is_idle(*, is_idle: bool) -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append, lambda _: is_idle)
    stopped, other = asyncio.new_event_loop(), asyncio.new_event_loop()
    resource = stopped.run_until_complete(get_from(per_loop))
    other.run_until_complete(get_from(per_loop))
    assert released == [resource] * is_idle
    assert (stopped.run_until_complete(get_from(per_loop)) is resource) is not is_idle
    for loop in (stopped, other):
        loop.run_until_complete(per_loop.close())
        loop.close()


def test_closing_releases_the_resources_of_closed_and_stopped_loops() -> None:
    released: list[Resource] = []
    per_loop = PerLoop(Resource, Resource.close, released.append)
    closed, stopped = asyncio.new_event_loop(), asyncio.new_event_loop()
    first = closed.run_until_complete(get_from(per_loop))
    second = stopped.run_until_complete(get_from(per_loop))
    closed.close()
    asyncio.run(per_loop.close())
    assert released == [first, second]
    stopped.close()
    assert first.closed_in is second.closed_in is None


@forks
def test_a_child_that_uses_its_parents_loop_has_its_own_resource(per_loop: PerLoop[Resource]) -> None:
    loop = asyncio.new_event_loop()

    async def get() -> Resource:
        return per_loop.get()

    resource = loop.run_until_complete(get())

    def end() -> bool:
        own = loop.run_until_complete(get())
        loop.run_until_complete(per_loop.close())
        loop.run_until_complete(loop.shutdown_asyncgens())
        return own is not resource and own.closed_in is loop and resource.closed_in is None

    assert in_child(end)
    loop.run_until_complete(per_loop.close())
    assert resource.closed_in is loop
    loop.close()


@forks
def test_a_child_that_uses_its_parents_loop_resolves_host_names(per_loop: PerLoop[Resource]) -> None:
    """asyncio resolves names in executor threads, which exist only in the parent."""

    async def use() -> bool:
        per_loop.get()
        return bool(await asyncio.wait_for(asyncio.get_running_loop().getaddrinfo("localhost", 80), 60))

    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(use())
    loop.run_until_complete(asyncio.sleep(0.1))  # until the executor thread is idle
    assert in_child(lambda: loop.run_until_complete(use()))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
