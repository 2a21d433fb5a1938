"""No change by tasks, store objects, event loops or threads is lost, and no caller waits needlessly."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.atomic import increment, take, touch, update

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Backend, Watched

    Concurrently = Callable[[int, Callable[[], Awaitable[object]]], None]

Value = dict[str, Any]


async def count(store: Any, number: int) -> list[int]:
    return [await increment(store, "key") for _ in range(number)]


async def test_increments_of_many_tasks_are_all_counted(backend: Backend, store: Any) -> None:
    counts = await asyncio.gather(*(count(store, backend.load) for _ in range(backend.load)))
    assert await store.get("key") == {"count": backend.load**2}
    assert sorted(each for task in counts for each in task) == list(range(1, backend.load**2 + 1))


async def test_increments_through_several_store_objects_are_all_counted(backend: Backend) -> None:
    stores = [backend.open() for _ in range(5)]
    await asyncio.gather(*(count(store, 10) for store in stores for _ in range(4)))
    assert await stores[0].get("key") == {"count": 200}


def test_increments_in_several_event_loops_and_threads_are_all_counted(
    backend: Backend, concurrently: Concurrently
) -> None:
    store = backend.open()

    async def work() -> None:
        await asyncio.gather(*(count(store, 10) for _ in range(4)))

    concurrently(5, work)
    assert asyncio.run(store.get("key")) == {"count": 200}


async def test_changes_of_different_kinds_do_not_undo_one_another(store: Any) -> None:
    def append(name: str) -> Callable[[Value | None], Value]:
        return lambda value: {"names": [*(value or {"names": []})["names"], name]}

    names = [f"name {number}" for number in range(20)]
    touches = (touch(store, "key", 1000) for _ in names)
    await asyncio.gather(*(update(store, "key", append(name)) for name in names), *touches)
    assert sorted((await store.get("key"))["names"]) == sorted(names)


async def test_interleaved_plain_puts_are_detected(store: Any) -> None:
    seen: list[int] = []

    def add_one(value: Value | None) -> Value:
        seen.append((value or {"count": 0})["count"])
        return {"count": seen[-1] + 1}

    async def put() -> None:
        for number in range(1, 6):
            await asyncio.sleep(0)
            await store.put("key", {"count": number * 1000})

    await asyncio.gather(put(), *(update(store, "key", add_one) for _ in range(20)))
    assert 5000 <= (await store.get("key"))["count"] <= 5020


async def test_exactly_one_of_many_callers_takes_an_entry(store: Any) -> None:
    await store.put("key", {"digits": "123456"})
    taken = await asyncio.gather(*(take(store, "key") for _ in range(50)))
    assert [value for value in taken if value] == [{"digits": "123456"}]


def test_exactly_one_of_many_threads_takes_each_entry(backend: Backend, concurrently: Concurrently) -> None:
    store, taken = backend.open(), list[Value | None]()
    asyncio.run(store.put_many([f"key {number}" for number in range(20)], [{"n": n} for n in range(20)]))

    async def work() -> None:
        other = backend.open()
        taken.extend(await asyncio.gather(*(take(other, f"key {number}") for number in range(20))))

    concurrently(5, work)
    assert Counter(value["n"] for value in taken if value) == Counter(range(20))


async def test_callers_of_one_store_object_are_served_in_order_without_conflicts(watched: Watched) -> None:
    counts = await asyncio.gather(*(increment(watched, "key") for _ in range(20)))
    assert counts == list(range(1, 21))
    assert len(watched.calls) == 2 * 20


async def test_keys_and_collections_do_not_wait_for_one_another(watched: Watched) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await go_on.wait()

    watched.before_write = hold
    held = asyncio.create_task(increment(watched, "key"))
    await reached.wait()
    assert await increment(watched, "other") == 1
    assert await increment(watched, "key", collection="other") == 1
    go_on.set()
    assert await held == 1


@pytest.mark.parametrize("cancelled", [0, 1, 5, 9])
async def test_a_cancelled_caller_does_not_block_others(watched: Watched, cancelled: int) -> None:
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await go_on.wait()

    watched.before_write = hold
    callers = [asyncio.create_task(increment(watched, "key")) for _ in range(10)]
    await reached.wait()
    callers[cancelled].cancel()
    await asyncio.wait([callers[cancelled]])
    go_on.set()
    counts = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(counts.pop(cancelled), asyncio.CancelledError)
    assert counts == list(range(1, 10))


async def test_many_cancellations_lose_no_acknowledged_increment(store: Any) -> None:
    answered: list[int] = []

    async def work() -> None:
        answered.append(await increment(store, "key"))

    for round_ in range(10):
        callers = [asyncio.create_task(work()) for _ in range(20)]
        for _ in range(round_):
            await asyncio.sleep(0)
        for caller in callers[round_ % 3 :: 3]:
            caller.cancel()
        await asyncio.wait(callers)
    assert len(set(answered)) == len(answered) >= 10 * 20 // 2
    assert await increment(store, "key", 0) >= len(answered)
    assert await asyncio.wait_for(increment(store, "key"), 60) > max(answered)


async def test_a_failed_call_does_not_block_others(watched: Watched) -> None:
    async def fail() -> None:
        raise ConnectionError

    watched.before_write = fail
    outcomes = await asyncio.gather(*(increment(watched, "key") for _ in range(3)), return_exceptions=True)
    assert [type(outcomes[0]), *outcomes[1:]] == [ConnectionError, 1, 2]


async def test_no_queue_is_kept_for_keys_without_waiting_callers(store: Any) -> None:
    def queues() -> int:
        return sum(isinstance(each, asyncio.Lock) for each in gc.get_objects())

    await increment(store, "key")
    before = queues()
    await asyncio.gather(*(increment(store, f"key {number}") for number in range(50) for _ in range(2)))
    assert queues() == before
