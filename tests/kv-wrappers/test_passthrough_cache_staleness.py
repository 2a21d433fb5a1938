"""PassthroughCacheWrapper: no read that starts after a write returns an earlier value."""

import asyncio
import logging
import random
from collections import defaultdict
from contextlib import suppress
from typing import Any, ClassVar

import pytest
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import FullStore, PlainStore
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper

from .cache_doubles import DOWN, Gated, Write, each_write, started, steps


@each_write
async def test_a_read_overtaken_by_a_write_is_not_cached(write: Write, after: Any) -> None:
    primary, cache = Gated(), MemoryStore()
    await primary.fill(key=1)
    store = PassthroughCacheWrapper(primary, cache, negative_ttl=60)
    reading = started(store.get("key", collection="shelf"), store.get_many(["b", "key"], collection="shelf"))
    await steps()
    await write(store)
    after_write = started(store.get("key", collection="shelf"))
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*reading) == [{"n": 1}, [None, {"n": 1}]]
    assert await asyncio.gather(*after_write) == [after]
    assert await store.get("key", collection="shelf") == after
    assert await cache.get("key", collection="shelf") != {"n": 1}


@each_write
async def test_a_write_removes_the_cached_entry(write: Write, after: Any) -> None:
    primary, cache = FullStore(), FullStore()
    store = PassthroughCacheWrapper(primary, cache)
    await store.put("key", {"n": 1}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"n": 1}
    assert ("shelf", "key") in cache.entries
    await write(store)
    assert cache.entries == {}
    assert await store.get("key", collection="shelf") == after


@each_write
async def test_a_failed_write_removes_the_cached_entry(write: Write, after: Any) -> None:
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
async def test_a_cancelled_write_removes_the_cached_entry(write: Write, after: Any) -> None:
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
async def test_a_read_during_a_write_is_neither_cached_nor_joined_afterwards(write: Write, after: Any) -> None:
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
    after_write = started(store.get("key", collection="shelf"))
    await steps()
    primary.read_gate.set()
    assert await asyncio.gather(*during, *after_write) == [{"n": 1}, after]
    assert await store.get("key", collection="shelf") == after


@each_write
async def test_the_primary_is_read_during_a_write(write: Write, after: Any) -> None:
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
async def test_a_write_cancelled_while_it_waits_leaves_no_stale_reads(write: Write, after: Any) -> None:
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


async def test_a_completed_read_is_cached_even_if_its_caller_was_cancelled() -> None:
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
async def test_a_write_waits_for_an_entry_being_cached(write: Write, after: Any) -> None:
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


async def test_other_keys_are_cached_while_one_key_is_written() -> None:
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
    """Pauses randomly before and after each operation, and fails at random."""

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
    """Tasks that read and write a few keys concurrently.

    The primary's `history` has every value of a key. After a write has ended, no later read may return an earlier
    value.
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
def test_concurrent_readers_and_writers_see_no_stale_values(failures: float, negative_ttl: float | None) -> None:
    async def run(seed: int) -> int:
        model = Model(seed, failures, negative_ttl)
        await asyncio.gather(*(model.act() for _ in range(6)))
        return model.checked

    logging.disable(logging.WARNING)
    try:
        assert sum(asyncio.run(run(seed)) for seed in range(40)) > 1000
    finally:
        logging.disable(logging.NOTSET)
