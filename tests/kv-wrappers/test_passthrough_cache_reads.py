"""PassthroughCacheWrapper: reads of the primary by callers that wait, are cancelled or run in other event loops."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing.inner_stores import FullStore, PlainStore
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper

from .cache_doubles import DOWN, Gated, started, steps


async def test_100_concurrent_cold_reads_share_one_read_of_the_primary() -> None:
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


async def test_concurrent_reads_of_every_kind_read_each_key_once() -> None:
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


async def test_waiting_readers_share_no_objects() -> None:
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


async def test_an_error_reaches_all_waiting_readers_and_the_next_read_tries_again() -> None:
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


async def test_a_corrupt_entry_does_not_fail_reads_of_other_keys_in_its_batch() -> None:
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


@pytest.mark.parametrize("cancelled_index", [0, 25, 49])
async def test_cancelling_one_waiting_reader_does_not_affect_the_others(cancelled_index: int) -> None:
    primary = Gated()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, MemoryStore())
    reading = started(*(store.get("key", collection="shelf") for _ in range(50)))
    await steps()
    reading[cancelled_index].cancel()
    await steps()
    primary.read_gate.set()
    outcomes = await asyncio.gather(*reading, return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome != {"n": 1}] == [outcomes[cancelled_index]]
    assert isinstance(outcomes[cancelled_index], asyncio.CancelledError)
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


async def test_a_read_cancelled_before_it_starts_leaves_nothing_behind() -> None:
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
    """Yields to the event loop several times before and after each read."""

    def __init__(self, turns: int) -> None:
        super().__init__()
        self.turns = turns

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        await steps(self.turns)
        found = await super().get(key, collection=collection)
        await steps(self.turns)
        return found


async def test_a_primary_that_cancels_itself_is_not_read_forever() -> None:
    class Cancels(PlainStore):
        async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
            del collection, key
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await PassthroughCacheWrapper(Cancels(), MemoryStore()).get("key")


class ReadInThreads(FullStore):
    """Records each read and holds it until a thread opens the gate."""

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


def test_reads_in_several_event_loops_share_one_read_of_the_primary() -> None:
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


def test_a_read_continues_in_another_event_loop_when_its_own_ends() -> None:
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


def test_a_read_in_a_stopped_event_loop_is_not_joined() -> None:
    primary = ReadInThreads()
    store = PassthroughCacheWrapper(primary, MemoryStore())
    loop = asyncio.new_event_loop()
    reading = loop.create_task(store.get("key", collection="shelf"))
    loop.run_until_complete(steps())
    primary.gate.set()
    assert asyncio.run(asyncio.wait_for(store.get("key", collection="shelf"), 30)) == {"n": 1}
    assert loop.run_until_complete(reading) == {"n": 1}
    loop.close()
