"""Leases: renewal while the lock is held, and detection of a lost lock."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock, LockLostError
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing.contract import eventually

from .functions import lease_of

if TYPE_CHECKING:
    from conftest import Watched
    from key_value.aio.testing import FakeClock


@pytest.fixture
def frequent_renewals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew every tenth of a second, so that a lease can be longer than any machine stalls."""
    monkeypatch.setattr("key_value.aio.atomic.lock._RENEWALS_PER_LEASE", 600)


async def next_write(watched: Watched) -> None:
    """Wait until the next conditional write takes effect: a renewal unless a lock is being acquired."""
    written = asyncio.Event()

    async def notify() -> None:
        written.set()

    watched.after_write = notify
    await written.wait()


async def test_a_holder_that_stalls_past_its_lease_gets_an_error(store: Any, clock: FakeClock) -> None:
    lock = Lock(store, "job", lease=10)
    await lock.acquire()
    clock.advance(10)
    assert not lock.held
    with pytest.raises(LockLostError, match=r"ended before it was renewed or released.*'lease:job'"):
        await lock.release()
    assert await lock.acquire(wait=False) is True


async def test_a_holder_that_lost_the_lock_does_not_release_it_for_the_next_holder(
    store: Any, clock: FakeClock
) -> None:
    former_holder, next_holder = Lock(store, "job", lease=10), Lock(store, "job")
    await former_holder.acquire()
    clock.advance(10)
    await next_holder.acquire()
    with pytest.raises(LockLostError):
        await former_holder.renew()
    with pytest.raises(LockLostError):
        await former_holder.release()
    assert (former_holder.held, next_holder.held) == (False, True)
    assert former_holder.fence < next_holder.fence
    await next_holder.release()


async def test_leaving_the_context_of_a_lost_lock_raises(store: Any, clock: FakeClock) -> None:
    with pytest.raises(LockLostError):
        async with Lock(store, "job", lease=10):
            clock.advance(10)


async def test_an_error_in_the_context_takes_precedence_over_a_lost_lock(store: Any, clock: FakeClock) -> None:
    async def fail_after_lease() -> None:
        async with Lock(store, "job", lease=10):
            clock.advance(10)
            raise LookupError

    with pytest.raises(LookupError):
        await fail_after_lease()
    assert await lease_of(store) is None


async def test_an_error_in_the_context_releases_the_lock(store: Any) -> None:
    with pytest.raises(LookupError):
        async with Lock(store, "job"):
            raise LookupError
    assert await lease_of(store) is None


async def test_renewing_restarts_the_lease(store: Any, clock: FakeClock) -> None:
    async with Lock(store, "job", lease=10) as lock:
        clock.advance(6)
        await lock.renew()
        clock.advance(6)
        assert lock.held
        assert await Lock(store, "job").acquire(wait=False) is False
        clock.advance(4)
        assert not lock.held
        clock.advance(-1)


@pytest.mark.usefixtures("frequent_renewals")
async def test_a_lock_is_renewed_while_it_is_held(store: Any, watched: Watched, clock: FakeClock) -> None:
    async with Lock(watched, "job", lease=60) as lock:
        for _ in range(4):
            clock.advance(20)
            await next_write(watched)
            assert lock.held
            assert await Lock(store, "job").acquire(wait=False) is False
    assert await lease_of(store) is None


async def test_a_lock_is_renewed_before_its_lease_ends() -> None:
    async with Lock(MemoryStore(), "job", lease=3) as lock:
        await asyncio.sleep(3.5)
        assert lock.held


async def test_nothing_runs_in_the_background_after_the_release(store: Any) -> None:
    async with Lock(store, "job"):
        assert len(asyncio.all_tasks()) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.usefixtures("frequent_renewals")
async def test_renewing_continues_after_the_store_was_unreachable(watched: Watched) -> None:
    async with Lock(watched, "job", lease=60) as lock:
        watched.before_write = refuse
        await next_write(watched)
        assert watched.before_write is None
        assert lock.held


async def test_a_lock_lost_to_an_unreachable_store_reports_the_cause(store: Any, watched: Watched) -> None:
    lock = Lock(watched, "job", lease=0.3)
    await lock.acquire()
    watched.store = unreachable = Unreachable()

    async def is_over() -> bool:
        # A second request shows that the first error was handled.
        return unreachable.asked > 1 and await lease_of(store) is None

    assert await eventually(is_over, within=60)
    assert not lock.held
    watched.store = store
    with pytest.raises(LockLostError) as raised:
        await lock.release()
    assert isinstance(raised.value.__cause__, StoreConnectionError)


async def refuse() -> None:
    message = "down"
    raise StoreConnectionError(message)


class Unreachable:
    asked = 0

    async def get_versioned(self, *_: Any, **__: Any) -> None:
        self.asked += 1
        await refuse()
