"""PassthroughCacheWrapper: how often the primary is asked, what is cached and for how long, and what is never stale."""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, ClassVar

import pytest
from key_value.aio.errors import DeserializationError, StoreConnectionError, StoreTimeoutError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.simple import SimpleStore
from key_value.aio.testing import FakeClock, StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import ForeignStore, FullStore, PlainStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, Call
from key_value.aio.wrappers import passthrough_cache
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper

DOWN = StoreConnectionError("the server is down")


class TestPassthroughCache(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, MemoryStore())


class TestWithNegativeTtlAndAForeignCache(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, ForeignStore(), negative_ttl=60)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
class TestWithACacheThatFails(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return PassthroughCacheWrapper(store, Faulty(failing=True))


class TestStoreBehindACache(StoreTests[AsyncKeyValue]):
    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=60)


@pytest.mark.parametrize("options", [{}, {"negative_ttl": 700, "maximum_ttl": 900, "missing_ttl": 800}])
def test_a_store_behind_a_cache_behaves_like_a_dict(options: dict[str, Any]) -> None:
    check_against_dict(lambda: PassthroughCacheWrapper(MemoryStore(), MemoryStore(), **options))


class Gated(FullStore):
    """Notes what is read, and holds each operation until its gate opens: reads have looked by then, writes have not."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[list[str]] = []
        self.cancelled = 0
        self.read_gate = asyncio.Event()
        self.write_gate = asyncio.Event()
        self.write_gate.set()
        self.writing = asyncio.Event()
        self.error: Exception | None = None
        self.write_error: Exception | None = None

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return (await self._get_managed_entries(collection=collection, keys=[key]))[0]

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        self.reads.append(list(keys))
        found = [self.entries.get((collection, key)) for key in keys]
        try:
            await self.read_gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error
        return found

    async def _before_write(self) -> None:
        self.writing.set()
        await self.write_gate.wait()
        if self.write_error is not None:
            raise self.write_error

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._before_write()
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        await self._before_write()
        return await super()._delete_managed_entry(collection=collection, key=key)

    async def _delete_store(self) -> bool:
        await self._before_write()
        return await super()._delete_store()

    async def _delete_collection(self, *, collection: str) -> bool:
        await self._before_write()
        return await super()._delete_collection(collection=collection)

    async def fill(self, **values: int) -> None:
        for key, number in values.items():
            await super()._put_managed_entry(
                collection="shelf", key=key, managed_entry=ManagedEntry(value={"n": number}, key=key)
            )


class Faulty(MemoryStore):
    """Fails, with a message that holds a value, or hangs, as often as it is told to."""

    def __init__(self, *, failing: bool = False, hanging: bool = False) -> None:
        super().__init__()
        self.failing = failing
        self.hanging = hanging

    async def _prepare(self, collection: str) -> None:
        await self._fault()
        await super()._prepare(collection)

    async def setup(self) -> None:
        await self._fault()
        await super().setup()

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        await self._fault()
        return await super().get(key, collection=collection)

    async def put(self, key: str, value: Any, **options: Any) -> None:
        await self._fault()
        await super().put(key, value, **options)

    async def close(self) -> None:
        await self._fault()
        await super().close()

    async def _fault(self) -> None:
        if self.hanging:
            await asyncio.Event().wait()
        if self.failing:
            message = "could not store hunter2"
            raise ValueError(message)


async def steps(count: int = 20) -> None:
    """Let everything that can run do so."""
    for _ in range(count):
        await asyncio.sleep(0)


def started(*calls: Awaitable[Any]) -> list["asyncio.Future[Any]"]:
    return [asyncio.ensure_future(call) for call in calls]


# One read of the primary


async def test_100_concurrent_cold_reads_are_one_read_of_the_primary() -> None:
    primary = Gated()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(*(store.get("key", collection="shelf") for _ in range(100)))
    await steps()
    primary.read_gate.set()
    values = await asyncio.gather(*reading)
    assert values == [{"n": 1}] * 100
    assert len({id(value) for value in values}) == 100
    assert await store.get("key", collection="shelf") == {"n": 1}
    assert primary.reads == [["key"]]


async def test_concurrent_reads_of_every_kind_ask_for_each_key_once() -> None:
    primary = Gated()
    await primary.fill(a=1, b=2, c=3)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(
        store.get("a", collection="shelf"),
        store.get_many(["b", "a", "x", "b"], collection="shelf"),
        store.ttl("b", collection="shelf"),
        store.ttl_many(["c", "b", "a"], collection="shelf"),
        store.get("c", collection="shelf"),
        store.get_many(["c", "x"], collection="shelf"),
    )
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*reading) == [
        {"n": 1},
        [{"n": 2}, {"n": 1}, None, {"n": 2}],
        ({"n": 2}, None),
        [({"n": 3}, None), ({"n": 2}, None), ({"n": 1}, None)],
        {"n": 3},
        [{"n": 3}, None],
    ]
    assert primary.reads == [["a"], ["b", "x"], ["c"]]


async def test_a_key_in_two_collections_is_read_twice() -> None:
    primary = Gated()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(store.get("key", collection="shelf"), store.get("key", collection="other"))
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*reading) == [{"n": 1}, None]
    assert primary.reads == [["key"], ["key"]]


async def test_who_waits_shares_no_object() -> None:
    primary = Gated()
    primary.entries["shelf", "key"] = ManagedEntry(value={"parts": [1, {"deep": []}]})
    store = PassthroughCacheWrapper(primary, MemoryStore())
    calls = (store.get("key", collection="shelf"), store.get_many(["key", "key"], collection="shelf"))
    reading = started(*calls)
    await steps()
    primary.read_gate.set()
    first, (second, third) = await asyncio.gather(*reading)
    for value in (first, second, third):
        assert value["parts"][1] == {"deep": []}
        value["parts"][1]["deep"].append("changed")
    assert await store.get("key", collection="shelf") == {"parts": [1, {"deep": []}]}


async def test_an_error_reaches_all_who_wait_and_the_next_read_tries_again() -> None:
    primary = Gated()
    await primary.fill(key=1)
    primary.error = DOWN
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(
        *(store.get("key", collection="shelf") for _ in range(50)), store.get_many(["key"], collection="shelf")
    )
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*reading, return_exceptions=True) == [DOWN] * 51
    assert primary.reads == [["key"]]
    primary.error = None
    assert await store.get("key", collection="shelf") == {"n": 1}


async def test_a_corrupt_entry_does_not_fail_reads_of_others_in_its_batch() -> None:
    class Corrupt(Gated):
        async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
            self.error = DeserializationError("the entry is corrupt") if "corrupt" in keys else None
            return await super()._get_managed_entries(collection=collection, keys=keys)

    primary = Corrupt()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(
        store.get_many(["key", "corrupt"], collection="shelf"),
        store.get("key", collection="shelf"),
        store.get("corrupt", collection="shelf"),
    )
    await steps()
    primary.read_gate.set()
    batch, value, error = await asyncio.gather(*reading, return_exceptions=True)
    assert value == {"n": 1}
    assert isinstance(batch, DeserializationError)
    assert isinstance(error, DeserializationError)


@pytest.mark.parametrize("leaving", [0, 25, 49])
async def test_cancelling_one_who_waits_leaves_the_others(leaving: int) -> None:
    primary = Gated()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(*(store.get("key", collection="shelf") for _ in range(50)))
    await steps()
    reading[leaving].cancel()
    await steps()
    primary.read_gate.set()
    outcomes = await asyncio.gather(*reading, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome != {"n": 1}] == [outcomes[leaving]]
    assert isinstance(outcomes[leaving], asyncio.CancelledError)
    assert (primary.reads, primary.cancelled) == ([["key"]], 0)


@pytest.mark.parametrize("turns", range(6))
async def test_a_read_that_nobody_waits_for_is_cancelled_and_not_joined(turns: int) -> None:
    primary = Gated()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(store.get("key", collection="shelf"), store.ttl("key", collection="shelf"))
    await steps()
    for read in reading:
        read.cancel()
    await steps(turns)
    next_read = started(store.get("key", collection="shelf"))
    await steps()
    assert all(read.cancelled() for read in reading)
    assert (len(primary.reads), primary.cancelled) == (2, 1)
    primary.read_gate.set()
    assert await asyncio.gather(*next_read) == [{"n": 1}]


async def test_a_read_cancelled_before_it_began_leaves_nothing_behind() -> None:
    primary = Gated()
    await primary.fill(key=1)
    primary.read_gate.set()
    store = PassthroughCacheWrapper(primary, SlowToAnswer(3))
    for count in range(10):
        (read,) = started(store.get("key", collection="shelf"))
        await steps(count)
        read.cancel()
        await asyncio.gather(read, return_exceptions=True)
    assert await store.get("key", collection="shelf") == {"n": 1}


class SlowToAnswer(MemoryStore):
    """Takes some turns of the event loop before each operation, and after it as well."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        await steps(self.turns)
        found = await super().get(key, collection=collection)
        await steps(self.turns)
        return found


async def test_a_primary_that_cancels_itself_is_not_asked_forever() -> None:
    class Cancels(PlainStore):
        async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
            del collection, key
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await PassthroughCacheWrapper(Cancels(), MemoryStore()).get("key")


class ReadInThreads(FullStore):
    """Notes each read, and holds it until a thread lets it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.entries["shelf", "key"] = ManagedEntry(value={"n": 1})
        self.reads = 0
        self.reading = Event()
        self.gate = Event()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        self.reads += 1
        self.reading.set()
        while not self.gate.is_set():  # noqa: ASYNC110 — another thread sets it
            await asyncio.sleep(0.001)
        return await super()._get_managed_entry(collection=collection, key=key)


def test_reads_of_several_event_loops_are_one_read_of_the_primary() -> None:
    primary = ReadInThreads()
    store = PassthroughCacheWrapper(primary, MemoryStore())

    async def read(joining: list[int]) -> list[Any]:
        reading = started(*(store.get("key", collection="shelf") for _ in range(10)))
        await steps()
        joining.append(1)
        return await asyncio.gather(*reading)

    joining: list[int] = []
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(asyncio.run, read(joining)) for _ in range(4)]
        while len(joining) < 4:
            primary.reading.wait(0.001)
        primary.gate.set()
        assert [one.result(30) for one in found] == [[{"n": 1}] * 10] * 4
    assert primary.reads == 1


def test_a_read_goes_on_in_another_event_loop_when_its_own_ends() -> None:
    primary = ReadInThreads()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    joined = Event()

    async def begin_and_leave() -> None:
        reading = started(store.get("key", collection="shelf"))
        while not joined.is_set():  # noqa: ASYNC110 — another thread sets it
            await asyncio.sleep(0.001)
        assert not reading[0].done()

    async def join() -> Any:
        reading = started(store.get("key", collection="shelf"))
        await steps()
        joined.set()
        return (await asyncio.gather(*reading))[0]

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asyncio.run, begin_and_leave())
        assert primary.reading.wait(30)
        second = pool.submit(asyncio.run, join())
        first.result(30)
        primary.gate.set()
        assert second.result(30) == {"n": 1}
    assert primary.reads == 2


def test_a_read_of_an_event_loop_that_stands_still_is_not_joined() -> None:
    primary = ReadInThreads()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    loop = asyncio.new_event_loop()
    reading = loop.create_task(store.get("key", collection="shelf"))
    loop.run_until_complete(steps())
    primary.gate.set()
    assert asyncio.run(asyncio.wait_for(store.get("key", collection="shelf"), 30)) == {"n": 1}
    assert loop.run_until_complete(reading) == {"n": 1}
    loop.close()


# Nothing stale

SHELF: dict[str, tuple[Call, Any]] = {
    "put": (lambda store: store.put("key", {"n": 2}, collection="shelf"), {"n": 2}),
    "put_many": (lambda store: store.put_many(["a", "key"], [{"n": 2}] * 2, collection="shelf"), {"n": 2}),
    "delete": (lambda store: store.delete("key", collection="shelf"), None),
    "delete_many": (lambda store: store.delete_many(["a", "key"], collection="shelf"), None),
    "destroy": (lambda store: store.destroy(), None),
    "destroy_collection": (lambda store: store.destroy_collection("shelf"), None),
}

each_write = pytest.mark.parametrize(("write", "after"), SHELF.values(), ids=SHELF)


@each_write
async def test_a_read_that_a_write_overtakes_is_not_cached(write: Call, after: Any) -> None:
    primary, cache = Gated(), MemoryStore()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache, negative_ttl=60)
    reading = started(store.get("key", collection="shelf"), store.get_many(["b", "key"], collection="shelf"))
    await steps()
    await write(store)
    late = started(store.get("key", collection="shelf"))
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*reading) == [{"n": 1}, [None, {"n": 1}]]
    assert await asyncio.gather(*late) == [after]
    assert await store.get("key", collection="shelf") == after
    assert await cache.get("key", collection="shelf") != {"n": 1}


@each_write
async def test_a_write_removes_what_was_cached(write: Call, after: Any) -> None:
    primary, cache = FullStore(), FullStore()
    store = PassthroughCacheWrapper(primary, cache)
    await store.put("key", {"n": 1}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"n": 1}
    assert ("shelf", "key") in cache.entries
    await write(store)
    assert cache.entries == {}
    assert await store.get("key", collection="shelf") == after


@each_write
async def test_a_write_that_fails_removes_what_was_cached(write: Call, after: Any) -> None:
    del after
    primary, cache = Gated(), FullStore()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache)
    await store.get("key", collection="shelf")
    primary.write_error = DOWN
    with pytest.raises(StoreConnectionError):
        await write(store)
    assert cache.entries == {}


@each_write
async def test_a_write_that_is_cancelled_removes_what_was_cached(write: Call, after: Any) -> None:
    del after
    primary, cache = Gated(), FullStore()
    primary.read_gate.set()
    primary.write_gate.clear()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache)
    await store.get("key", collection="shelf")
    (writing,) = started(write(store))
    await primary.writing.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert cache.entries == {}


@each_write
async def test_a_read_during_a_write_is_neither_cached_nor_joined_afterwards(write: Call, after: Any) -> None:
    primary, cache = Gated(), MemoryStore()
    primary.write_gate.clear()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache, negative_ttl=60)
    (writing,) = started(write(store))
    await primary.writing.wait()
    during = started(store.get("key", collection="shelf"))
    await steps()
    primary.write_gate.set()
    await writing
    late = started(store.get("key", collection="shelf"))
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*during, *late) == [{"n": 1}, after]
    assert await store.get("key", collection="shelf") == after


@each_write
async def test_during_a_write_the_primary_is_asked(write: Call, after: Any) -> None:
    del after
    primary = Gated()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    assert await store.get("key", collection="shelf") == {"n": 1}
    primary.write_gate.clear()
    (writing,) = started(write(store))
    await primary.writing.wait()
    await primary.fill(key=3)
    assert await store.get("key", collection="shelf") == {"n": 3}
    assert await store.get_many(["key"], collection="shelf") == [{"n": 3}]
    primary.write_gate.set()
    await writing


class SlowToPut(FullStore):
    """Stores an entry only when its gate opens."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.putting = asyncio.Event()

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        self.putting.set()
        await self.gate.wait()
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)


@each_write
async def test_a_write_cancelled_while_it_waits_leaves_nothing_stale_to_read(write: Call, after: Any) -> None:
    primary, cache = Gated(), SlowToPut()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache)
    reading = started(store.get("key", collection="shelf"))
    await cache.putting.wait()
    (writing,) = started(write(store))
    await steps()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    cache.gate.set()
    assert await asyncio.gather(*reading) == [{"n": 1}]
    assert cache.entries["shelf", "key"].value == {"n": 1}
    assert await store.get("key", collection="shelf") == after


async def test_what_was_read_is_cached_although_nobody_waits_any_more() -> None:
    primary, cache = Gated(), SlowToPut()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache)
    (reading,) = started(store.get("key", collection="shelf"))
    await cache.putting.wait()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    cache.gate.set()
    await steps()
    assert ("shelf", "key") in cache.entries


@each_write
async def test_a_write_waits_for_what_is_being_cached(write: Call, after: Any) -> None:
    primary, cache = Gated(), SlowToPut()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache)
    reading = started(store.get("key", collection="shelf"))
    await cache.putting.wait()
    (writing,) = started(write(store))
    await steps()
    assert not writing.done()
    cache.gate.set()
    await writing
    assert await asyncio.gather(*reading) == [{"n": 1}]
    assert ("shelf", "key") not in cache.entries
    assert await store.get("key", collection="shelf") == after


async def test_other_keys_are_cached_while_one_is_written() -> None:
    primary, cache = Gated(), FullStore()
    await primary.fill(a=1, b=2)
    store = PassthroughCacheWrapper(primary, cache)
    reading = started(store.get_many(["a", "b"], collection="shelf"))
    await steps()
    await store.put("a", {"n": 3}, collection="shelf")
    primary.read_gate.set()
    await asyncio.gather(*reading)
    assert list(cache.entries) == [("shelf", "b")]


async def test_a_cull_reaches_the_cache() -> None:
    primary, cache = FullStore(), FullStore()
    with FakeClock() as clock:
        await primary.put("key", {"n": 1}, ttl=10)
        store: Any = PassthroughCacheWrapper(primary, cache)
        await store.get("key")
        clock.advance(11)
        assert len(primary.entries) == len(cache.entries) == 1
        await store.cull()
    assert primary.entries == cache.entries == {}


# The model


class Rough(PlainStore):
    """Takes a random time before and after each operation, and fails or is late at random."""

    def __init__(self, chance: random.Random, failures: float = 0.0) -> None:
        super().__init__()
        self.chance = chance
        self.failures = failures
        self.history: defaultdict[str, list[Any]] = defaultdict(lambda: [None])

    async def _pause(self) -> None:
        for _ in range(self.chance.randrange(4)):
            await asyncio.sleep(0)
        if self.chance.random() < self.failures:
            raise DOWN

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        await self._pause()
        found = await super()._get_managed_entry(collection=collection, key=key)
        await self._pause()
        return found

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._pause()
        await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)
        self.history[key].append(dict(managed_entry.value))
        await self._pause()

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        await self._pause()
        found = await super()._delete_managed_entry(collection=collection, key=key)
        self.history[key].append(None)
        await self._pause()
        return found


class Model:
    """Tasks that read and write a few keys at once.

    `history` of the primary is all that a key ever was. When a write has ended, no later read may give anything of
    before.
    """

    keys: ClassVar[list[str]] = ["a", "b", "c"]

    def __init__(self, seed: int, failures: float, negative_ttl: float | None) -> None:
        self.chance = random.Random(seed)  # noqa: S311
        self.primary = Rough(self.chance)
        self.cache = Rough(self.chance, failures)
        self.store = PassthroughCacheWrapper(self.primary, self.cache, negative_ttl=negative_ttl)
        self.written = 0
        self.settled = dict.fromkeys(self.keys, 0)
        self.checked = 0

    def length(self, key: str) -> int:
        return len(self.primary.history[key])

    async def act(self) -> None:
        for _ in range(15):
            keys = self.chance.choices(self.keys, k=self.chance.randrange(1, 4))
            action = self.chance.choice([self.read, self.read, self.read_many, self.ttl, self.put, self.delete])
            task = asyncio.ensure_future(action(keys))
            if self.chance.random() < 0.2:
                await steps(self.chance.randrange(6))
                task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def read(self, keys: list[str]) -> None:
        earliest = self.settled[keys[0]]
        self.check(keys[0], await self.store.get(keys[0]), earliest)

    async def ttl(self, keys: list[str]) -> None:
        earliest = self.settled[keys[0]]
        value, remaining = await self.store.ttl(keys[0])
        assert remaining is None
        self.check(keys[0], value, earliest)

    async def read_many(self, keys: list[str]) -> None:
        earliest = dict(self.settled)
        for key, value in zip(keys, await self.store.get_many(keys), strict=True):
            self.check(key, value, earliest[key])

    def check(self, key: str, value: Any, earliest: int) -> None:
        self.checked += 1
        assert value in self.primary.history[key][earliest : self.length(key)]

    async def put(self, keys: list[str]) -> None:
        self.written += 1
        value = {"n": self.written}
        try:
            if len(keys) == 1:
                await self.store.put(keys[0], value)
            else:
                await self.store.put_many(keys, [value] * len(keys))
        finally:
            self.end_write(keys)

    async def delete(self, keys: list[str]) -> None:
        try:
            await self.store.delete_many(keys)
        finally:
            self.end_write(keys)

    def end_write(self, keys: list[str]) -> None:
        for key in keys:
            self.settled[key] = self.length(key) - 1


@pytest.mark.parametrize("negative_ttl", [None, 60])
@pytest.mark.parametrize("failures", [0.0, 0.1])
def test_concurrent_readers_and_writers_see_nothing_stale(failures: float, negative_ttl: float | None) -> None:
    async def run(seed: int) -> int:
        model = Model(seed, failures, negative_ttl)
        await asyncio.gather(*(model.act() for _ in range(6)))
        return model.checked

    logging.disable(logging.WARNING)
    try:
        assert sum(asyncio.run(run(seed)) for seed in range(40)) > 1000
    finally:
        logging.disable(logging.NOTSET)


# How long


async def cached_ttl(ttl: float | None, **options: Any) -> float | None:
    primary, cache = MemoryStore(), MemoryStore()
    store = PassthroughCacheWrapper(primary, cache, **options)
    with FakeClock():
        await primary.put("key", {"n": 1}, ttl=ttl)
        assert await store.get("key") == {"n": 1}
        return (await cache.ttl("key"))[1]


async def test_an_entry_is_cached_for_its_remaining_ttl() -> None:
    assert await cached_ttl(90) == 90
    assert await cached_ttl(1.5, maximum_ttl=2, missing_ttl=1) == 1.5


async def test_an_entry_is_cached_for_the_maximum_at_most() -> None:
    assert await cached_ttl(90, maximum_ttl=60) == 60
    assert await cached_ttl(90_000) == 1800
    assert await cached_ttl(None, maximum_ttl=60, missing_ttl=90) == 60


async def test_an_entry_without_ttl_is_cached_for_the_missing_ttl() -> None:
    assert await cached_ttl(None, missing_ttl=7) == 7
    assert await cached_ttl(None) == 1800


async def test_the_ttl_is_that_of_the_primary_whatever_is_cached() -> None:
    store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), maximum_ttl=5, missing_ttl=3)
    with FakeClock():
        await store.put("forever", {"n": 1})
        await store.put("long", {"n": 2}, ttl=100)
        for _ in range(2):
            assert await store.get_many(["forever", "long"]) == [{"n": 1}, {"n": 2}]
            assert await store.ttl("forever") == ({"n": 1}, None)
            assert await store.ttl_many(["long", "forever"]) == [({"n": 2}, 100.0), ({"n": 1}, None)]


async def test_what_is_cached_expires_before_the_entry_however_slow_the_primary_is() -> None:
    with FakeClock() as clock:

        class Slow(PlainStore):
            async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
                clock.advance(3)
                return await super()._get_managed_entry(collection=collection, key=key)

        class LateToAnswer(ForeignStore):
            async def ttl(self, key: str, *, collection: str | None = None) -> Any:
                answer = await super().ttl(key, collection=collection)
                clock.advance(3)
                return answer

        for primary in (Slow(), LateToAnswer()):
            cache = PlainStore()
            store = PassthroughCacheWrapper(primary, cache)
            await store.put("key", {"n": 1}, ttl=10)
            end = clock.now()
            assert await store.get("key") == {"n": 1}
            (entry,) = cache.entries.values()
            assert entry.expires_at is not None
            assert (entry.expires_at - end).total_seconds() <= 10


async def test_an_entry_may_expire_while_it_is_cached() -> None:
    with FakeClock() as clock:

        class SlowToCache(MemoryStore):
            async def put(self, key: str, value: Any, **options: Any) -> None:
                await super().put(key, value, **options)
                clock.advance(30)

        primary = MemoryStore()
        await primary.put("long", {"n": 1}, ttl=100)
        await primary.put("short", {"n": 2}, ttl=50)
        store = PassthroughCacheWrapper(primary, SlowToCache())
        assert await store.ttl("long") == ({"n": 1}, 70.0)
        assert await store.ttl("short") == (None, None)
        assert await store.get("short") is None


async def test_an_entry_that_expired_meanwhile_is_not_cached() -> None:
    with FakeClock() as clock:

        class LateToAnswer(ForeignStore):
            async def ttl(self, key: str, *, collection: str | None = None) -> Any:
                answer = await super().ttl(key, collection=collection)
                clock.advance(30)
                return answer

        cache = PlainStore()
        store = PassthroughCacheWrapper(LateToAnswer(), cache)
        await store.put("key", {"n": 1}, ttl=10)
        await store.get("key")
        assert cache.entries == {}


async def test_each_entry_of_a_batch_is_cached_for_its_own_time() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    ttls = {"a": 10.0, "b": 10.2, "c": 60.0, "d": 4000.0, "e": None, "f": 0.5}
    with FakeClock() as clock:
        for key, ttl in ttls.items():
            await primary.put(key, {"key": key}, ttl=ttl)
        store = PassthroughCacheWrapper(primary, cache, missing_ttl=300)
        assert await store.get_many([*ttls, "absent"]) == [*({"key": key} for key in ttls), None]
        for key, most in zip(ttls, (10, 10.2, 60, 1800, 300, 0.5), strict=True):
            value, remaining = await cache.ttl(key)
            assert value == {"key": key}
            assert remaining is not None
            assert most * 0.9 <= remaining <= most
        clock.advance(10)
        assert await store.get_many(["a", "c"]) == [None, {"key": "c"}]


async def test_a_batch_with_one_ttl_is_one_put_in_the_cache() -> None:
    class Counting(MemoryStore):
        puts = 0

        async def put_many(self, *arguments: Any, **options: Any) -> None:
            self.puts += 1
            await super().put_many(*arguments, **options)

    primary, cache = MemoryStore(), Counting()
    keys = [f"key {number}" for number in range(100)]
    await primary.put_many(keys, [{"key": key} for key in keys], ttl=100)
    await PassthroughCacheWrapper(primary, cache).get_many(keys)
    assert cache.puts == 1


# What is absent


async def test_an_absent_key_is_asked_for_each_time_by_default() -> None:
    primary = Gated()
    primary.read_gate.set()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    assert [await store.get("key", collection="shelf") for _ in range(2)] == [None, None]
    assert primary.reads == [["key"], ["key"]]
    await primary.fill(key=1)
    assert await store.get("key", collection="shelf") == {"n": 1}


async def test_an_absent_key_is_remembered_for_the_negative_ttl() -> None:
    primary = Gated()
    primary.read_gate.set()
    store = PassthroughCacheWrapper(primary, MemoryStore(), negative_ttl=10)
    with FakeClock() as clock:
        assert await store.get("key", collection="shelf") is None
        assert await store.get_many(["key", "other"], collection="shelf") == [None, None]
        await primary.fill(key=1, other=2)
        assert await store.get("key", collection="shelf") is None
        assert await store.get_many(["other", "key"], collection="shelf") == [None, None]
        assert primary.reads == [["key"], ["other"]]
        assert await store.ttl("key", collection="shelf") == ({"n": 1}, None)
        clock.advance(10)
        assert await store.get_many(["other", "key"], collection="shelf") == [{"n": 2}, {"n": 1}]


async def test_a_put_ends_the_memory_of_an_absent_key() -> None:
    store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=10)
    assert await store.get("key") is None
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("negative_ttl", [None, 10])
async def test_no_value_is_taken_for_an_absent_one(negative_ttl: float | None) -> None:
    cache = MemoryStore()
    remembering = PassthroughCacheWrapper(MemoryStore(), cache, negative_ttl=10)
    await remembering.get("key")
    marker = await cache.get("key")
    assert marker is not None
    for value in (marker, {**marker, "more": 1}, dict.fromkeys(marker, 1), {}):
        store = PassthroughCacheWrapper(MemoryStore(), MemoryStore(), negative_ttl=negative_ttl)
        await store.put("key", value)
        assert [await store.get("key") for _ in range(2)] == [value, value]
        assert await store.get_many(["key", "key"]) == [value, value]
        await store.delete("key")
        assert await store.get("key") is None


async def test_a_marker_that_was_left_in_the_cache_is_no_value() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    await PassthroughCacheWrapper(primary, cache, negative_ttl=1000).get("key")
    await primary.put("key", {"n": 1})
    store = PassthroughCacheWrapper(primary, cache)
    assert await store.get_many(["key"]) == [{"n": 1}]
    assert await store.get("key") == {"n": 1}


# A cache that fails


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_cache_that_fails_fails_nothing(call: Call, caplog: pytest.LogCaptureFixture) -> None:
    primary, alone = FullStore(), FullStore()
    for one in (primary, alone):
        await one.put_many(["key", "other"], [{"secret": "hunter2"}, {"n": 2}], collection="shelf")
    store = PassthroughCacheWrapper(primary, Faulty(failing=True), negative_ttl=1)
    assert await call(store) == await call(alone)
    assert primary.entries.keys() == alone.entries.keys()
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    assert "hunter2" not in caplog.text
    if call not in (EVERY_CALL["keys"], EVERY_CALL["collections"]):
        assert "ValueError" in caplog.text


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_cache_that_hangs_fails_nothing(call: Call) -> None:
    primary, alone = FullStore(), FullStore()
    for one in (primary, alone):
        await one.put_many(["key", "other"], [{"n": 1}, {"n": 2}], collection="shelf")
    store = PassthroughCacheWrapper(primary, Faulty(hanging=True), cache_timeout=0.01)
    assert await asyncio.wait_for(call(store), 30) == await call(alone)


async def test_a_write_does_not_wait_forever_for_what_is_being_cached() -> None:
    primary, cache = MemoryStore(), Faulty()
    await primary.put("key", {"n": 1})
    store = PassthroughCacheWrapper(primary, cache, cache_timeout=0.02)
    cache.hanging = True
    reading = started(store.ttl("key"))
    await steps()
    await asyncio.wait_for(store.put("key", {"n": 2}), 30)
    cache.hanging = False
    assert await store.get("key") == {"n": 2}
    assert await asyncio.gather(*reading) == [({"n": 1}, None)]


async def test_setup_and_close_go_on_without_the_cache(caplog: pytest.LogCaptureFixture) -> None:
    primary, cache = PlainStore(), PlainStore()
    async with PassthroughCacheWrapper(primary, cache):
        assert (primary.opened, cache.opened) == (1, 1)
    assert (primary.closed, cache.closed) == (1, 1)
    async with PassthroughCacheWrapper(primary, Faulty(failing=True)):
        pass
    assert (primary.opened, primary.closed) == (2, 2)
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2


async def test_a_corrupt_cache_entry_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    class Corruptible(MemoryStore):
        corrupt = False

        async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
            if self.corrupt:
                message = "what is stored is not an entry"
                raise DeserializationError(message)
            return await super()._get_managed_entry(collection=collection, key=key)

        async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
            self.corrupt = False
            await super()._put_managed_entry(collection=collection, key=key, managed_entry=managed_entry)

        async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
            return [await self._get_managed_entry(collection=collection, key=key) for key in keys]

    for read in (EVERY_CALL["get"], EVERY_CALL["get_many"]):
        primary, cache = Gated(), Corruptible()
        primary.read_gate.set()
        await primary.fill(key=1, other=2)
        store = PassthroughCacheWrapper(primary, cache)
        before = await read(store)
        cache.corrupt = True
        assert await read(store) == before
        assert len(primary.reads) == 2
        assert "what is stored is not an entry" in caplog.text


class Undeletable(FullStore):
    """Refuses to remove anything as long as it is told to."""

    refusing = True

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        if self.refusing:
            raise DOWN
        return await super()._delete_managed_entry(collection=collection, key=key)

    async def _delete_collection(self, *, collection: str) -> bool:
        if self.refusing:
            raise DOWN
        return await super()._delete_collection(collection=collection)

    async def _delete_store(self) -> bool:
        if self.refusing:
            raise DOWN
        return await super()._delete_store()


@each_write
async def test_what_could_not_be_removed_from_the_cache_is_not_read_there(write: Call, after: Any) -> None:
    primary, cache = FullStore(), Undeletable()
    store = PassthroughCacheWrapper(primary, cache, maximum_ttl=100)
    with FakeClock() as clock:
        await primary.put("key", {"n": 1}, collection="shelf")
        await store.get("key", collection="shelf")
        await write(store)
        stale = cache.entries["shelf", "key"]
        assert stale.value == {"n": 1}
        assert await store.get("key", collection="shelf") == after
        assert await store.get_many(["key"], collection="shelf") == [after]
        clock.advance(101)
        assert await store.get("key", collection="shelf") == after


async def test_a_replaced_entry_is_read_from_the_cache_again() -> None:
    primary = Gated()
    primary.read_gate.set()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, Undeletable())
    await store.get("key", collection="shelf")
    await store.put("key", {"n": 2}, collection="shelf")
    assert [await store.get("key", collection="shelf") for _ in range(3)] == [{"n": 2}] * 3
    assert len(primary.reads) == 2


async def test_once_it_was_removed_the_cache_is_read_again() -> None:
    primary, cache = MemoryStore(), Undeletable()
    store = PassthroughCacheWrapper(primary, cache)
    await store.put("key", {"n": 1}, collection="shelf")
    cache.refusing = False
    await store.put("key", {"n": 2}, collection="shelf")
    await cache.put("key", {"by": "another process"}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"by": "another process"}


async def test_an_entry_that_is_gone_is_removed_as_soon_as_the_cache_can() -> None:
    primary, cache = FullStore(), Undeletable()
    await primary.put("key", {"n": 1}, collection="shelf")
    store = PassthroughCacheWrapper(primary, cache)
    await store.get("key", collection="shelf")
    await store.delete("key", collection="shelf")
    assert await store.get("key", collection="shelf") is None
    assert len(cache.entries) == 1
    cache.refusing = False
    assert await store.get("key", collection="shelf") is None
    assert cache.entries == {}


async def test_a_write_cancelled_while_it_removes_leaves_nothing_stale_to_read() -> None:
    primary, cache = MemoryStore(), Gated()
    cache.read_gate.set()
    await primary.put("key", {"n": 1}, collection="shelf")
    store = PassthroughCacheWrapper(primary, cache)
    await store.get("key", collection="shelf")
    cache.writing.clear()
    cache.write_gate.clear()
    (writing,) = started(store.put("key", {"n": 2}, collection="shelf"))
    await cache.writing.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    cache.write_gate.set()
    assert cache.entries["shelf", "key"].value == {"n": 1}
    assert await store.get("key", collection="shelf") == {"n": 2}


async def test_with_too_many_entries_to_remember_the_cache_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passthrough_cache, "_MOST_SUSPECTS", 10)
    primary, cache = MemoryStore(), Undeletable()
    store = PassthroughCacheWrapper(primary, cache, maximum_ttl=100)
    keys = [f"key {number}" for number in range(20)]
    with FakeClock() as clock:
        for value in ({"n": 1}, {"n": 2}):
            for key in keys:
                await store.put(key, value, collection="shelf")
            assert await store.get_many(keys, collection="shelf") == [value] * 20
        clock.advance(101)
        assert await store.get_many(keys, collection="shelf") == [{"n": 2}] * 20
        await primary.put("key 0", {"n": 3}, collection="shelf")
        assert await store.get("key 0", collection="shelf") == {"n": 2}


@pytest.mark.parametrize("removal", ["destroy", "destroy_collection"])
async def test_a_cache_that_cannot_be_emptied_rests(removal: str) -> None:
    primary, cache = FullStore(), PlainStore()
    store = PassthroughCacheWrapper(primary, cache, maximum_ttl=100)
    with FakeClock() as clock:
        await store.put("key", {"n": 1}, collection="shelf")
        await store.get("key", collection="shelf")
        await SHELF[removal][0](store)
        assert await store.get("key", collection="shelf") is None
        await store.put("key", {"n": 2}, collection="shelf")
        assert await store.get("key", collection="shelf") == {"n": 2}
        assert cache.entries == {}
        clock.advance(101)
        assert await store.get("key", collection="shelf") == {"n": 2}
        assert len(cache.entries) == 1


# The default collection


@pytest.mark.parametrize("default", ["default_collection", "shelf"])
@pytest.mark.parametrize("written", [None, "default"])
async def test_a_write_to_the_default_collection_is_seen_under_both_of_its_names(
    default: str, written: str | None
) -> None:
    names = (None, default)
    store: Any = PassthroughCacheWrapper(MemoryStore(default_collection=default), MemoryStore(), negative_ttl=10)
    collection = None if written is None else default
    for number in range(2):
        await store.put("key", {"n": number}, collection=collection)
        assert [await store.get("key", collection=name) for name in names] == [{"n": number}] * 2
    await store.delete("key", collection=collection)
    assert [await store.get("key", collection=name) for name in names] == [None] * 2
    await store.put("key", {"n": 3}, collection=collection)
    assert [await store.get("key", collection=name) for name in names] == [{"n": 3}] * 2
    assert await store.destroy_collection(default) is True
    assert [await store.get("key", collection=name) for name in names] == [None] * 2


@pytest.mark.parametrize("defaults", [("shelf", "default_collection"), ("default_collection", "shelf"), ("x", "y")])
async def test_stores_with_other_default_collections_do_not_mix(defaults: tuple[str, str]) -> None:
    primary, cache = (MemoryStore(default_collection=default) for default in defaults)
    collections = ["default_collection", "shelf", "x", "y", "__named__x", "__named____named__x", "__named__shelf"]
    for name in collections:
        await primary.put("key", {"in": name}, collection=name)
    store = PassthroughCacheWrapper(primary, cache)
    for _ in range(2):
        assert await store.get("key") == {"in": defaults[0]}
        assert [await store.get("key", collection=name) for name in collections] == [
            {"in": name} for name in collections
        ]


async def test_the_cache_holds_plain_values_under_the_same_names() -> None:
    cache = SimpleStore()
    store = PassthroughCacheWrapper(MemoryStore(), cache)
    await store.put("key", {"n": 1})
    await store.put("key", {"n": 2}, collection="shelf")
    await store.get("key")
    await store.get("key", collection="shelf")
    assert await cache.get("key") == {"n": 1}
    assert await cache.get("key", collection="shelf") == {"n": 2}


# Configuration


@pytest.mark.parametrize("option", ["maximum_ttl", "missing_ttl", "negative_ttl", "cache_timeout"])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_time_that_is_not_finite_and_above_zero_is_a_value_error(option: str, seconds: float) -> None:
    options: dict[str, Any] = {option: seconds}
    with pytest.raises(ValueError, match=f"{option} must be"):
        PassthroughCacheWrapper(MemoryStore(), MemoryStore(), **options)


def test_one_store_cannot_be_both() -> None:
    store = MemoryStore()
    with pytest.raises(ValueError, match="another store"):
        PassthroughCacheWrapper(store, store)


async def test_parameters_are_positional_or_keywords() -> None:
    primary, cache = MemoryStore(), MemoryStore()
    for store in (
        PassthroughCacheWrapper(primary, cache, 60, 30),
        PassthroughCacheWrapper(primary_key_value=primary, cache_key_value=cache, maximum_ttl=60, missing_ttl=30),
    ):
        assert (store.maximum_ttl, store.missing_ttl, store.negative_ttl) == (60, 30, None)
    assert repr(PassthroughCacheWrapper(primary, cache)) == "PassthroughCacheWrapper(MemoryStore(), MemoryStore())"


async def test_a_late_error_of_the_cache_is_shown_by_its_type(caplog: pytest.LogCaptureFixture) -> None:
    class Late(MemoryStore):
        async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
            del key, collection
            message = "the cache is late"
            raise StoreTimeoutError(message)

    store = PassthroughCacheWrapper(MemoryStore(), Late())
    assert await store.get("key") is None
    assert "StoreTimeoutError: the cache is late" in caplog.text
