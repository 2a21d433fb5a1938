"""Lock: one holder at a time, who can tell when the lock is lost, and numbers that grow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock, LockLostError
from key_value.aio.errors import InvalidKeyError, InvalidTTLError, StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.contract import eventually

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from conftest import Backend, Watched

    Concurrently = Callable[[int, Callable[[], Awaitable[object]]], None]


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def renewed_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed every tenth of a second, a lease can be longer than any machine stalls."""
    monkeypatch.setattr("key_value.aio.atomic.lock._RENEWALS_PER_LEASE", 600)


async def next_write(watched: Watched) -> None:
    """Return when the next conditional write has taken effect, which is a renewal where nobody acquires."""
    written = asyncio.Event()

    async def tell() -> None:
        written.set()

    watched.after_write = tell
    await written.wait()


async def lease_of(store: Any, key: str = "job") -> Any:
    return await store.get(f"lease:{key}", collection="locks")


async def test_one_holder_has_the_lock_and_gives_it_back(store: Any) -> None:
    async with Lock(store, "job") as lock:
        assert lock.held
        assert await lease_of(store) is not None
        assert await Lock(store, "job").acquire(wait=False) is False
    assert not lock.held
    assert await lease_of(store) is None
    assert await Lock(store, "job").acquire(wait=False) is True


async def test_acquire_and_release_do_what_the_context_does(store: Any) -> None:
    lock = Lock(store, "job")
    assert await lock.acquire() is True
    assert lock.held
    await lock.release()
    assert not lock.held
    assert await lease_of(store) is None


async def test_locks_of_other_keys_and_collections_are_other_locks(store: Any) -> None:
    async with Lock(store, "job"), Lock(store, "fence:job"), Lock(store, "job", collection="other"):
        async with Lock(store, "job", collection=None) as lock:
            assert lock.held
        assert await Lock(store, "job").acquire(wait=False) is False


async def test_the_fencing_number_grows_with_every_acquisition(store: Any, clock: FakeClock) -> None:
    lock, fences = Lock(store, "job", lease=10), list[int]()
    for _ in range(3):
        async with lock:
            fences.append(lock.fence)
    dead = Lock(store, "job", lease=10)
    await dead.acquire()
    clock.advance(10)
    async with Lock(store, "job") as next_holder:
        assert [*fences, dead.fence, next_holder.fence] == [1, 2, 3, 4, 5]
    clock.advance(10_000_000)
    async with lock:
        assert lock.fence == 6


async def test_many_who_contend_hold_the_lock_one_at_a_time(backend: Backend) -> None:
    stores = [backend.open() for _ in range(3)]
    holders, fences = 0, list[int]()

    async def work(store: Any) -> None:
        nonlocal holders
        async with Lock(store, "job") as lock:
            holders += 1
            fences.append(lock.fence)
            await asyncio.sleep(0)
            assert holders == 1
            holders -= 1

    await asyncio.gather(*(work(store) for store in stores for _ in range(5)))
    assert fences == sorted(set(fences))
    assert len(fences) == 15


def test_threads_hold_the_lock_one_at_a_time(backend: Backend, concurrently: Concurrently) -> None:
    store, fences = backend.open(), list[int]()

    async def work() -> None:
        for _ in range(3):
            async with Lock(store, "job") as lock:
                fences.append(lock.fence)
                await asyncio.sleep(0.001)
                fences.append(lock.fence)

    concurrently(4, work)
    assert fences[::2] == fences[1::2] == sorted(set(fences))
    assert len(fences) == 4 * 3 * 2


async def test_those_who_wait_through_one_store_get_the_lock_in_order(store: Any) -> None:
    served: list[int] = []

    async def work(number: int) -> None:
        async with Lock(store, "job"):
            served.append(number)

    await asyncio.gather(*(work(number) for number in range(10)))
    assert served == list(range(10))


async def test_a_holder_that_stalls_past_its_lease_is_told(store: Any, clock: FakeClock) -> None:
    lock = Lock(store, "job", lease=10)
    await lock.acquire()
    clock.advance(10)
    assert not lock.held
    with pytest.raises(LockLostError, match=r"ended before it was renewed or released.*'lease:job'"):
        await lock.release()
    assert await lock.acquire(wait=False) is True


async def test_one_who_lost_the_lock_does_not_release_that_of_the_next(store: Any, clock: FakeClock) -> None:
    late, next_holder = Lock(store, "job", lease=10), Lock(store, "job")
    await late.acquire()
    clock.advance(10)
    await next_holder.acquire()
    with pytest.raises(LockLostError):
        await late.renew()
    with pytest.raises(LockLostError):
        await late.release()
    assert (late.held, next_holder.held) == (False, True)
    assert late.fence < next_holder.fence
    await next_holder.release()


async def test_leaving_the_context_of_a_lost_lock_raises(store: Any, clock: FakeClock) -> None:
    with pytest.raises(LockLostError):
        async with Lock(store, "job", lease=10):
            clock.advance(10)


async def test_an_error_within_comes_before_the_loss_of_the_lock(store: Any, clock: FakeClock) -> None:
    async def fail_late() -> None:
        async with Lock(store, "job", lease=10):
            clock.advance(10)
            raise LookupError

    with pytest.raises(LookupError):
        await fail_late()
    assert await lease_of(store) is None


async def test_an_error_within_gives_the_lock_back(store: Any) -> None:
    with pytest.raises(LookupError):
        async with Lock(store, "job"):
            raise LookupError
    assert await lease_of(store) is None


async def test_renewing_lets_the_lease_begin_anew(store: Any, clock: FakeClock) -> None:
    async with Lock(store, "job", lease=10) as lock:
        clock.advance(6)
        await lock.renew()
        clock.advance(6)
        assert lock.held
        assert await Lock(store, "job").acquire(wait=False) is False
        clock.advance(4)
        assert not lock.held
        clock.advance(-1)


@pytest.mark.usefixtures("renewed_often")
async def test_a_lock_is_renewed_for_as_long_as_it_is_held(store: Any, watched: Watched, clock: FakeClock) -> None:
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


@pytest.mark.usefixtures("renewed_often")
async def test_renewing_goes_on_after_the_store_could_not_be_reached(watched: Watched) -> None:
    async with Lock(watched, "job", lease=60) as lock:
        watched.before_write = refuse
        await next_write(watched)
        assert watched.before_write is None
        assert lock.held


async def test_a_lock_lost_because_the_store_cannot_be_reached_says_so(store: Any, watched: Watched) -> None:
    lock = Lock(watched, "job", lease=0.3)
    await lock.acquire()
    watched.store = unreachable = Unreachable()

    async def is_over() -> bool:
        # Who asks again has heard the first answer.
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


async def test_one_who_waits_gets_the_lock_of_a_holder_that_died(store: Any) -> None:
    # As a dead process leaves it.
    await store.put("lease:job", {"owner": "dead"}, collection="locks", ttl=0.3)
    async with Lock(store, "job") as lock:
        assert lock.fence == 1


async def test_a_lease_that_ends_during_the_acquisition_is_not_taken_for_held(
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
async def test_an_acquisition_that_is_cancelled_leaves_nothing_behind(backend: Backend, steps: int) -> None:
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


class InAThread:
    """A store whose writes take effect, once told, although their caller was cancelled."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.get_versioned, self.delete_if_version = store.get_versioned, store.delete_if_version
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()
        self.write: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def put_if_version(self, *arguments: Any, **options: Any) -> bool:
        self.write = asyncio.ensure_future(self._write(*arguments, **options))
        return await asyncio.shield(self.write)

    async def _write(self, *arguments: Any, **options: Any) -> bool:
        self.begun.set()
        await self.go_on.wait()
        return await self._store.put_if_version(*arguments, **options)


async def test_an_acquisition_that_is_cancelled_during_its_write_leaves_nothing_behind(store: Any) -> None:
    threaded = InAThread(store)
    acquiring = asyncio.create_task(Lock(threaded, "job").acquire())
    await threaded.begun.wait()
    acquiring.cancel()
    await asyncio.wait([acquiring], timeout=0.05)
    threaded.go_on.set()
    await asyncio.wait([acquiring, threaded.write])
    assert acquiring.cancelled()
    assert await lease_of(store) is None


async def test_one_who_is_cancelled_while_waiting_holds_nobody_up(store: Any) -> None:
    async with Lock(store, "job"):
        waiting = [asyncio.create_task(Lock(store, "job").acquire()) for _ in range(3)]
        await asyncio.sleep(0.05)
        waiting[0].cancel()
        waiting[1].cancel()
        await asyncio.wait(waiting[:2])
    assert await asyncio.wait_for(waiting[2], 60) is True


async def test_an_acquisition_whose_outcome_is_unknown_is_raised_and_gives_back_what_it_took(
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


async def test_a_lock_object_is_for_one_holder(store: Any) -> None:
    async with Lock(store, "job") as lock:
        with pytest.raises(RuntimeError, match="is in use"):
            await lock.acquire()
        assert lock.held


async def test_releasing_or_renewing_what_was_not_acquired_is_an_error(store: Any) -> None:
    lock = Lock(store, "job")
    assert (lock.held, lock.fence) == (False, 0)
    for call in (lock.release, lock.renew):
        with pytest.raises(RuntimeError, match="has not acquired"):
            await call()


def test_the_event_loop_may_end_while_a_lock_is_held(backend: Backend) -> None:
    store = backend.open()
    lock = Lock(store, "job", lease=0.5)
    assert asyncio.run(lock.acquire()) is True

    async def wait_for_it() -> int:
        async with Lock(store, "job") as next_holder:
            return next_holder.fence

    assert asyncio.run(wait_for_it()) == lock.fence + 1


WRONG: dict[str, tuple[type[Exception], Callable[[Any], object]]] = {
    "an empty key": (InvalidKeyError, lambda store: Lock(store, "")),
    "a key that is too long": (InvalidKeyError, lambda store: Lock(store, "k" * 65_535)),
    "a key that is no str": (TypeError, lambda store: Lock(store, 7)),  # pyright: ignore[reportArgumentType]
    "an empty collection": (InvalidKeyError, lambda store: Lock(store, "job", collection="")),
    "no lease": (InvalidTTLError, lambda store: Lock(store, "job", lease=0)),
    "an infinite lease": (InvalidTTLError, lambda store: Lock(store, "job", lease=float("inf"))),
    "a lease that is text": (TypeError, lambda store: Lock(store, "job", lease="30")),  # pyright: ignore[reportArgumentType]
}


@pytest.mark.parametrize(("error", "construct"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused(
    error: type[Exception], construct: Callable[[Any], object], backend: Backend
) -> None:
    with pytest.raises(error):
        construct(backend.open())
