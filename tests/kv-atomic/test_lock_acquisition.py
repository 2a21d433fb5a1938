"""Acquisitions that wait for another holder, are cancelled, or have an unknown outcome."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock
from key_value.aio.errors import StoreTimeoutError

from .functions import lease_of

if TYPE_CHECKING:
    from conftest import Backend, Watched
    from key_value.aio.testing import FakeClock


async def test_a_waiter_gets_the_lock_of_a_dead_holder(store: Any) -> None:
    # The state that a dead process leaves.
    await store.put("lease:job", {"owner": "dead"}, collection="locks", ttl=0.3)
    async with Lock(store, "job") as lock:
        assert lock.fence == 1


async def test_a_lease_that_ends_during_the_acquisition_is_not_reported_as_held(
    store: Any, watched: Watched, clock: FakeClock
) -> None:
    other = Lock(store, "job", lease=10)

    async def stall() -> None:
        clock.advance(10)
        assert await other.acquire(wait=False)

    stalled = Lock(watched, "job", lease=10)
    watched.after_write = stall
    assert await stalled.acquire(wait=False) is False
    assert (stalled.held, other.held) == (False, True)
    await other.release()
    async with stalled:
        assert stalled.fence > other.fence


@pytest.mark.parametrize("steps", range(14))
async def test_a_cancelled_acquisition_leaves_nothing_behind(backend: Backend, steps: int) -> None:
    store = backend.open()
    lock = Lock(store, "job")
    acquiring = asyncio.create_task(lock.acquire())
    for _ in range(steps):
        await asyncio.sleep(0)
    acquiring.cancel()
    await asyncio.wait([acquiring])
    if acquiring.cancelled():
        assert await lease_of(store) is None
        assert not lock.held
        await lock.acquire()
    assert lock.held
    await lock.release()


class ThreadedWrites:
    """A store with writes that take effect on a signal even after their caller was cancelled."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.get_versioned, self.delete_if_version = store.get_versioned, store.delete_if_version
        self.begun, self.proceed = asyncio.Event(), asyncio.Event()
        self.write: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def put_if_version(self, *arguments: Any, **options: Any) -> bool:
        self.write = asyncio.ensure_future(self._write(*arguments, **options))
        return await asyncio.shield(self.write)

    async def _write(self, *arguments: Any, **options: Any) -> bool:
        self.begun.set()
        await self.proceed.wait()
        return await self._store.put_if_version(*arguments, **options)


async def test_an_acquisition_cancelled_during_its_write_leaves_nothing_behind(store: Any) -> None:
    threaded = ThreadedWrites(store)
    acquiring = asyncio.create_task(Lock(threaded, "job").acquire())
    await threaded.begun.wait()
    acquiring.cancel()
    await asyncio.wait([acquiring], timeout=0.05)
    threaded.proceed.set()
    await asyncio.wait([acquiring, threaded.write])
    assert acquiring.cancelled()
    assert await lease_of(store) is None


async def test_a_cancelled_waiter_does_not_block_others(store: Any) -> None:
    async with Lock(store, "job"):
        waiting = [asyncio.create_task(Lock(store, "job").acquire()) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
        waiting[1].cancel()
        await asyncio.wait(waiting[:2])
    assert await asyncio.wait_for(waiting[2], 60) is True


async def test_an_acquisition_with_an_unknown_outcome_raises_and_releases_the_lock(
    store: Any, watched: Watched
) -> None:
    async def lose_the_answer() -> None:
        message = "no answer"
        raise StoreTimeoutError(message)

    lock = Lock(watched, "job")
    watched.after_write = lose_the_answer
    with pytest.raises(StoreTimeoutError, match="no answer"):
        await lock.acquire()
    assert watched.calls.count("put_if_version") == 1
    assert await lease_of(store) is None
    assert await lock.acquire(wait=False) is True
