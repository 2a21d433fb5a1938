"""PassthroughCacheWrapper: a cache that fails, hangs or cannot be emptied causes no errors and no stale reads."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import ManagedEntry
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock
from key_value.aio.testing.inner_stores import FullStore, PlainStore
from key_value.aio.testing.wrapper import EVERY_CALL, ExampleCall
from key_value.aio.testing.wrapping import comparable
from key_value.aio.wrappers import invalidations
from key_value.aio.wrappers.passthrough_cache import PassthroughCacheWrapper

from .cache_doubles import DOWN, WRITES_TO_SHELF, Faulty, Gated, Write, each_write, started, steps


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_failing_cache_causes_no_errors(call: ExampleCall, caplog: pytest.LogCaptureFixture) -> None:
    primary, alone = FullStore(), FullStore()
    for one in (primary, alone):
        await one.put_many(["key", "other"], [{"secret": "hunter2"}, {"n": 2}], collection="shelf")
    store = PassthroughCacheWrapper(primary, Faulty(failing=True), negative_ttl=1)
    assert comparable(await call(store)) == comparable(await call(alone))
    assert primary.entries.keys() == alone.entries.keys()
    assert {record.levelno for record in caplog.records} <= {logging.WARNING}
    assert "hunter2" not in caplog.text
    # Operations that only use the primary.
    if call.name not in {"keys", "scan", "collections", "get_versioned"}:
        assert "ValueError" in caplog.text


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_hanging_cache_causes_no_errors(call: ExampleCall) -> None:
    primary, alone = FullStore(), FullStore()
    for one in (primary, alone):
        await one.put_many(["key", "other"], [{"n": 1}, {"n": 2}], collection="shelf")
    store = PassthroughCacheWrapper(primary, Faulty(hanging=True), cache_timeout=0.01)
    assert comparable(await asyncio.wait_for(call(store), 30)) == comparable(await call(alone))


async def test_a_write_does_not_wait_forever_for_an_entry_being_cached() -> None:
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


async def test_setup_and_close_continue_without_the_cache(caplog: pytest.LogCaptureFixture) -> None:
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
    """Refuses removals while the flag is set."""

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
async def test_an_entry_that_could_not_be_removed_from_the_cache_is_not_read(write: Write, after: Any) -> None:
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


async def test_the_cache_is_read_again_after_a_successful_removal() -> None:
    primary, cache = MemoryStore(), Undeletable()
    store = PassthroughCacheWrapper(primary, cache)
    await store.put("key", {"n": 1}, collection="shelf")
    cache.refusing = False
    await store.put("key", {"n": 2}, collection="shelf")
    await cache.put("key", {"by": "another process"}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"by": "another process"}


async def test_a_deleted_entry_is_removed_as_soon_as_the_cache_permits() -> None:
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


async def test_a_write_cancelled_during_its_removal_leaves_no_stale_reads() -> None:
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


async def test_with_too_many_entries_to_remember_the_cache_is_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(invalidations, "_MOST_SUSPECTS", 10)
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
async def test_a_cache_that_cannot_be_emptied_is_bypassed(removal: str) -> None:
    primary, cache = FullStore(), PlainStore()
    store = PassthroughCacheWrapper(primary, cache, maximum_ttl=100)
    with FakeClock() as clock:
        await store.put("key", {"n": 1}, collection="shelf")
        await store.get("key", collection="shelf")
        await WRITES_TO_SHELF[removal][0](store)
        assert await store.get("key", collection="shelf") is None
        await store.put("key", {"n": 2}, collection="shelf")
        assert await store.get("key", collection="shelf") == {"n": 2}
        assert cache.entries == {}
        clock.advance(101)
        assert await store.get("key", collection="shelf") == {"n": 2}
        assert len(cache.entries) == 1
