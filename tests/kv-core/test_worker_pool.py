from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from key_value.aio.core.worker_pool import SharedResource, WorkerPool

if TYPE_CHECKING:
    from collections.abc import Callable


class Resource:
    def __init__(self) -> None:
        self.closed = threading.Event()
        self.threads: set[int] = set()


class Resources:
    def __init__(self, *errors: Exception) -> None:
        self.opened: list[Resource] = []
        self._errors = list(errors)

    def open(self) -> Resource:
        if self._errors:
            raise self._errors.pop(0)
        self.opened.append(Resource())
        return self.opened[-1]

    def close(self, resource: Resource) -> None:
        assert not resource.closed.is_set()
        resource.closed.set()


def use(resource: Resource) -> Resource:
    assert not resource.closed.is_set()
    resource.threads.add(threading.get_ident())
    return resource


def wait(resource: Resource, event: threading.Event) -> Resource:
    assert event.wait(60)
    return use(resource)


def hang(resource: Resource, begun: threading.Event, end: threading.Event) -> None:
    use(resource)
    begun.set()
    assert end.wait(30)


def meet(resource: Resource, barrier: threading.Barrier) -> None:
    use(resource)
    barrier.wait(60)


@pytest.fixture
def resources() -> Resources:
    return Resources()


@pytest.fixture
def pool_of(resources: Resources) -> Callable[[int], WorkerPool[Resource]]:
    shared = SharedResource(resources.open, resources.close)
    return lambda threads: WorkerPool(shared, threads)


async def test_concurrent_calls_run_in_as_many_threads(
    pool_of: Callable[[int], WorkerPool[Resource]], resources: Resources
) -> None:
    pool, barrier = pool_of(4), threading.Barrier(4)
    await asyncio.gather(*(pool.run(meet, barrier) for _ in range(4)))
    assert len(resources.opened) == 1
    assert len(resources.opened[0].threads) == 4
    await pool.close()


async def test_sequential_calls_need_one_thread(pool_of: Callable[[int], WorkerPool[Resource]]) -> None:
    pool = pool_of(4)
    resource = await pool.run(use)
    for _ in range(50):
        await pool.run(use)
    assert len(resource.threads) <= 2  # a thread may still be returning its answer
    await pool.close()


async def test_a_call_does_not_wait_for_a_cancelled_call_that_hangs(
    pool_of: Callable[[int], WorkerPool[Resource]],
) -> None:
    pool, begun, end = pool_of(2), threading.Event(), threading.Event()
    hanging = asyncio.ensure_future(pool.run(hang, begun, end))
    assert await asyncio.to_thread(begun.wait, 60)
    # Its thread stays busy although nobody waits for the call any more.
    hanging.cancel()
    for _ in range(20):
        await asyncio.wait_for(pool.run(use), 60)
    end.set()
    await pool.close()


async def test_more_calls_than_threads_all_run(pool_of: Callable[[int], WorkerPool[Resource]]) -> None:
    pool = pool_of(3)
    found = await asyncio.gather(*(pool.run(use) for _ in range(1000)))
    assert len(set(map(id, found))) == 1
    assert len(found[0].threads) <= 3
    await pool.close()


async def test_the_last_thread_closes_the_resource_and_a_later_call_opens_another(
    pool_of: Callable[[int], WorkerPool[Resource]], resources: Resources
) -> None:
    one, other, barrier = pool_of(2), pool_of(1), threading.Barrier(2)
    await asyncio.gather(one.run(meet, barrier), one.run(meet, barrier), other.run(use))
    await one.close()
    assert not resources.opened[0].closed.is_set()
    await other.close()
    assert resources.opened[0].closed.is_set()
    assert await one.run(use) is resources.opened[1]
    await one.close()
    assert resources.opened[1].closed.is_set()


async def test_closing_waits_for_calls_in_flight(pool_of: Callable[[int], WorkerPool[Resource]]) -> None:
    pool, event = pool_of(2), threading.Event()
    calls = [asyncio.ensure_future(pool.run(wait, event)) for _ in range(6)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(pool.close())
    await asyncio.sleep(0.01)
    assert not closing.done()
    event.set()
    await closing
    assert all(call.done() for call in calls)


async def test_a_failure_to_open_fails_the_call_and_the_next_call_opens_again() -> None:
    resources = Resources(OSError("not yet"))
    pool = WorkerPool(SharedResource(resources.open, resources.close), 2)
    with pytest.raises(OSError, match="not yet"):
        await pool.run(use)
    assert await pool.run(use) is resources.opened[0]
    await pool.close()


async def test_a_pool_that_is_dropped_closes_the_resource(resources: Resources) -> None:
    pool = WorkerPool(SharedResource(resources.open, resources.close), 2)
    await pool.run(use)
    del pool
    assert await asyncio.to_thread(resources.opened[0].closed.wait, 60)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_its_own_resource_and_does_not_close_the_parents(resources: Resources) -> None:
    pool = WorkerPool(SharedResource(resources.open, resources.close), 2)
    asyncio.run(pool.run(use))
    child = os.fork()
    if child == 0:
        code = 1
        try:
            own = asyncio.run(pool.run(use))
            asyncio.run(pool.close())
            code = int(resources.opened != [resources.opened[0], own] or resources.opened[0].closed.is_set())
        finally:
            os._exit(code)
    deadline = time.monotonic() + 60
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert ended == (child, 0)
    assert not resources.opened[0].closed.is_set()
    asyncio.run(pool.close())
    assert resources.opened[0].closed.is_set()
