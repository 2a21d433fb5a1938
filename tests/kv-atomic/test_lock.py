"""Lock: mutual exclusion and increasing fencing numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import Lock
from key_value.aio.errors import InvalidKeyError, InvalidTTLError
from key_value.aio.stores.memory import MemoryStore

from .functions import lease_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Backend
    from key_value.aio.testing import FakeClock

    Concurrently = Callable[[int, Callable[[], Awaitable[object]]], None]


async def test_one_holder_has_the_lock_and_releases_it(store: Any) -> None:
    async with Lock(store, "job") as lock:
        assert lock.held
        assert await lease_of(store) is not None
        assert await Lock(store, "job").acquire(wait=False) is False
    assert not lock.held
    assert await lease_of(store) is None
    assert await Lock(store, "job").acquire(wait=False) is True


async def test_acquire_and_release_work_like_the_context_manager(store: Any) -> None:
    lock = Lock(store, "job")
    assert await lock.acquire() is True
    assert lock.held
    await lock.release()
    assert not lock.held
    assert await lease_of(store) is None


async def test_locks_of_different_keys_and_collections_are_independent(store: Any) -> None:
    async with Lock(store, "job"), Lock(store, "fence:job"), Lock(store, "job", collection="other"):
        async with Lock(store, "job", collection=None) as lock:
            assert lock.held
        assert await Lock(store, "job").acquire(wait=False) is False


async def test_the_fencing_number_increases_with_every_acquisition(store: Any, clock: FakeClock) -> None:
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


async def test_many_contenders_hold_the_lock_one_at_a_time(backend: Backend) -> None:
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


async def test_waiters_on_one_store_object_get_the_lock_in_order(store: Any) -> None:
    served: list[int] = []

    async def work(number: int) -> None:
        async with Lock(store, "job"):
            served.append(number)

    await asyncio.gather(*(work(number) for number in range(10)))
    assert served == list(range(10))


async def test_a_lock_object_has_one_holder(store: Any) -> None:
    async with Lock(store, "job") as lock:
        with pytest.raises(RuntimeError, match="is in use"):
            await lock.acquire()
        assert lock.held


async def test_releasing_or_renewing_without_acquiring_is_an_error(store: Any) -> None:
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
    "a key that is not a str": (TypeError, lambda store: Lock(store, 7)),  # pyright: ignore[reportArgumentType]
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


@pytest.mark.parametrize(
    ("lease", "message"),
    [
        (-1, r"^A lease must be a finite number .* \(lease=-1\)$"),
        (True, r"^A lease must be .*; a bool is not accepted"),
        ("30", r"^lease must be a number of seconds, not str$"),
        (None, r"^lease must be a number of seconds, not NoneType$"),
    ],
)
def test_a_message_about_the_lease_names_it(lease: Any, message: str) -> None:
    with pytest.raises((InvalidTTLError, TypeError), match=message):
        Lock(MemoryStore(), "job", lease=lease)
