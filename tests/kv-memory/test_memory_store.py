"""MemoryStore: the store contracts, the entry limit, and freeing of expired entries."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import InvalidKeyError, SerializationError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock, StoreTests
from key_value.aio.testing.contract import eventually
from key_value.aio.testing.stateful import check_against_dict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from key_value.aio.stores.base import ManagedEntry
    from key_value.aio.stores.memory.expiry import ExpiryQueue

NUMBERS = [f"key {number}" for number in range(10)]


class TestMemoryStore(StoreTests[MemoryStore]):
    @pytest.fixture
    def store(self) -> MemoryStore:
        return MemoryStore()

    async def read_stored(self, store: MemoryStore, collection: str, key: str) -> str | None:
        entry = contents(store).get(collection, {}).get(key)
        return None if entry is None else entry.value_as_json


def contents(store: MemoryStore) -> dict[str, dict[str, ManagedEntry]]:
    """Return all entries in memory, expired or not."""
    return vars(store)["_collections"]


def held(store: MemoryStore) -> list[str]:
    return [key for entries in contents(store).values() for key in entries]


def queued(store: MemoryStore) -> int:
    """Return the number of queued expiries."""
    queue: ExpiryQueue = vars(store)["_expiries"]
    heap: list[object] = vars(queue)["_heap"]
    return len(heap)


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


@pytest.mark.parametrize("maximum", [None, 1000])
def test_it_behaves_like_a_dict(maximum: int | None) -> None:
    check_against_dict(lambda: MemoryStore(max_entries_per_collection=maximum))


async def test_close_keeps_the_entries() -> None:
    async with MemoryStore() as store:
        await store.put("key", {"a": 1})
    assert await store.get("key") == {"a": 1}


async def test_the_default_collection_can_be_chosen() -> None:
    store = MemoryStore(default_collection="shelf")
    await store.put("key", {"a": 1})
    assert await store.get("key", collection="shelf") == {"a": 1}


# The maximum


async def test_the_least_recently_put_entry_is_evicted() -> None:
    store = MemoryStore(max_entries_per_collection=3)
    for key in ("a", "b", "c", "d"):
        await store.put(key, {"n": 1})
    assert sorted(await store.keys()) == ["b", "c", "d"]


@pytest.mark.parametrize("read", ["get", "ttl", "get_many", "ttl_many"])
async def test_a_read_entry_is_evicted_later(read: str) -> None:
    store = MemoryStore(max_entries_per_collection=2)
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    await getattr(store, read)(["a"] if read.endswith("many") else "a")
    await store.put("c", {"n": 1})
    assert sorted(await store.keys()) == ["a", "c"]


async def test_a_replaced_entry_is_evicted_later() -> None:
    store = MemoryStore(max_entries_per_collection=2)
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    await store.put("a", {"n": 2})
    await store.put("c", {"n": 1})
    assert sorted(await store.keys()) == ["a", "c"]


async def test_expired_entries_are_evicted_before_live_ones(clock: FakeClock) -> None:
    store = MemoryStore(max_entries_per_collection=3)
    await store.put("oldest", {"n": 1})
    await store.put_many(["expired", "expired too"], [{"n": 1}] * 2, ttl=10)
    clock.advance(20)
    await store.put("newest", {"n": 1})
    assert sorted(held(store)) == ["newest", "oldest"]


async def test_the_maximum_applies_to_each_collection_separately() -> None:
    store = MemoryStore(max_entries_per_collection=2)
    for collection in ("one", "two"):
        await store.put_many(["a", "b"], [{"n": 1}] * 2, collection=collection)
    assert len(held(store)) == 4


async def test_a_batch_larger_than_the_maximum_keeps_its_last_entries() -> None:
    store = MemoryStore(max_entries_per_collection=3)
    await store.put_many(NUMBERS, [{"n": 1}] * len(NUMBERS))
    assert sorted(held(store)) == NUMBERS[-3:]


async def test_a_maximum_of_one_keeps_the_last_entry() -> None:
    store = MemoryStore(max_entries_per_collection=1)
    for key in NUMBERS:
        await store.put(key, {"key": key})
    assert await store.get_many(NUMBERS) == [None] * 9 + [{"key": NUMBERS[-1]}]


@pytest.mark.parametrize("maximum", [0, -1])
def test_a_maximum_below_one_is_refused(maximum: int) -> None:
    with pytest.raises(ValueError, match="max_entries_per_collection"):
        MemoryStore(max_entries_per_collection=maximum)


# The seed


async def test_the_seed_is_available_from_the_first_use() -> None:
    store = MemoryStore(seed={"one": {"a": {"n": 1}, "b": {"n": 2}}, "two": {"a": {"n": 3}}})
    assert await store.get_many(["a", "b"], collection="one") == [{"n": 1}, {"n": 2}]
    assert await store.ttl("a", collection="two") == ({"n": 3}, None)


async def test_a_seed_is_listed_before_any_read() -> None:
    assert await MemoryStore(seed={"one": {"a": {"n": 1}}}).collections() == ["one"]


async def test_a_destroyed_seed_does_not_reappear() -> None:
    store = MemoryStore(seed={"one": {"a": {"n": 1}}})
    await store.destroy()
    await store.close()
    assert await store.get("a", collection="one") is None


async def test_changing_the_seed_afterwards_has_no_effect() -> None:
    seed: dict[str, Any] = {"one": {"a": {"items": [1]}}}
    store = MemoryStore(seed=seed)
    seed["one"]["a"]["items"].append(2)
    assert await store.get("a", collection="one") == {"items": [1]}


def test_the_seed_is_checked_by_the_constructor() -> None:
    with pytest.raises(SerializationError, match=r"value\.items\[0\]"):
        MemoryStore(seed={"one": {"a": {"items": [b"bytes"]}}})
    with pytest.raises(InvalidKeyError):
        MemoryStore(seed={"": {"a": {"n": 1}}})


# Memory


async def test_an_expired_entry_is_freed_without_further_access() -> None:
    store = MemoryStore()
    await store.put_many(NUMBERS, [{"n": 1}] * len(NUMBERS), ttl=0.01)
    await store.put("live", {"n": 1}, ttl=1000)

    async def freed() -> bool:
        return held(store) == ["live"]

    # The sweep runs at most one second after expiry.
    assert await eventually(freed, within=5)


async def test_later_puts_free_entries_that_expired_after_their_event_loop_ended(clock: FakeClock) -> None:
    store = MemoryStore()
    await asyncio.to_thread(asyncio.run, store.put_many(NUMBERS, [{"n": 1}] * len(NUMBERS), ttl=10))
    clock.advance(100)
    await store.put("live", {"n": 1}, ttl=10)
    assert held(store) == ["live"]


async def test_many_puts_with_a_short_ttl_stay_bounded(clock: FakeClock) -> None:
    store = MemoryStore()
    most = 0
    for number in range(50_000):
        await store.put(f"key {number}", {"n": number}, ttl=1)
        clock.advance(0.001)
        most = max(most, len(held(store)) if number % 1000 == 0 else 0)
    # A thousand live entries, and those expired since the last sweep.
    assert most <= 5000
    assert queued(store) <= 5000


async def test_replacing_an_entry_repeatedly_stays_bounded(clock: FakeClock) -> None:
    store = MemoryStore()
    for _ in range(20_000):
        await store.put("key", {"n": 1}, ttl=1000)
        clock.advance(0.001)
    assert len(held(store)) == 1
    assert queued(store) < 2000


async def test_deleted_entries_leave_the_expiry_queue() -> None:
    store = MemoryStore()
    for number in range(20_000):
        await store.put(f"key {number}", {"n": 1}, ttl=1000)
        await store.delete(f"key {number}")
    assert held(store) == []
    assert queued(store) < 2000


@pytest.mark.parametrize("ttl", [0.5, 1, 1000])
async def test_many_puts_schedule_few_sweeps(monkeypatch: pytest.MonkeyPatch, ttl: float) -> None:
    store = MemoryStore()
    loop = asyncio.get_running_loop()
    scheduled: list[float] = []

    def call_later(delay: float, callback: Callable[..., object], *args: Any, **options: Any) -> asyncio.TimerHandle:
        scheduled.append(delay)
        return loop.call_at(loop.time() + delay, callback, *args, **options)

    monkeypatch.setattr(loop, "call_later", call_later)
    for key in NUMBERS * 10:
        await store.put(key, {"n": 1}, ttl=ttl)
    assert len(scheduled) <= 2


async def test_an_emptied_collection_occupies_no_memory() -> None:
    store = MemoryStore()
    for number in range(100):
        await store.put("key", {"n": 1}, collection=f"collection {number}")
        await store.delete("key", collection=f"collection {number}")
    assert contents(store) == {}


async def test_culling_frees_every_expired_entry(clock: FakeClock) -> None:
    store = MemoryStore()
    await store.put_many(NUMBERS, [{"n": 1}] * len(NUMBERS), ttl=10)
    clock.advance(20)
    await store.cull()
    assert held(store) == []


async def test_an_unreferenced_store_is_freed_before_its_entries_expire() -> None:
    store = MemoryStore()
    await store.put("key", {"n": 1}, ttl=1000)
    reference = weakref.ref(store)
    del store
    gc.collect()
    assert reference() is None


# Threads


def test_threads_may_share_a_bounded_store() -> None:
    store = MemoryStore(max_entries_per_collection=50)
    failures: list[BaseException] = []

    async def use(thread: int) -> None:
        for number in range(500):
            await store.put(f"key {number % 80}", {"n": thread}, ttl=0.001 + number % 3)
            await store.get(f"key {(number * 7) % 80}")
            await store.delete(f"key {(number * 3) % 80}")
            await store.keys(limit=5)

    def run(thread: int) -> None:
        try:
            asyncio.run(use(thread))
        except BaseException as failure:  # noqa: BLE001 — shown below
            failures.append(failure)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(held(store)) <= 50
