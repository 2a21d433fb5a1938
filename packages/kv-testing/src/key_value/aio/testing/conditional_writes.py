"""Concurrent conditional writes: of any number of tasks, objects, event loops and processes, exactly one succeeds."""

import asyncio

from key_value.aio.protocols import AsyncPutIfAbsentProtocol, AsyncVersionedProtocol, Versioned
from key_value.aio.testing.contenders import ROUNDS, contend, contested_count, increment, prepare
from key_value.aio.testing.contract import StoreContract, StoreT, ability
from key_value.aio.testing.running import closed_after, closing
from key_value.aio.testing.selection import helper, needs, setting
from key_value.aio.testing.threads import in_threads
from key_value.aio.testing.values import exact
from key_value.aio.testing.versioned import conditional, version_of

__all__ = ["ConditionalWriteTests"]

_CONCURRENT_TASKS = 50


class ConditionalWriteTests(StoreContract[StoreT], needs=(conditional,)):
    @needs(AsyncPutIfAbsentProtocol)
    async def test_one_of_many_tasks_stores(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)
        results = await asyncio.gather(*(absent.put_if_absent("key", {"n": n}) for n in range(_CONCURRENT_TASKS)))
        assert results.count(True) == 1
        assert await store.get("key") == {"n": results.index(True)}

    @needs(AsyncPutIfAbsentProtocol, helper("reopen"))
    async def test_one_of_many_store_objects_stores(self, store: StoreT) -> None:
        others = [self.reopen(store) for _ in range(4)]
        async with closing(*others):
            objects = [ability(each, AsyncPutIfAbsentProtocol) for each in (store, *others)] * 5
            results = await asyncio.gather(*(each.put_if_absent("key", {"n": n}) for n, each in enumerate(objects)))
            assert results.count(True) == 1
            assert await store.get("key") == {"n": results.index(True)}

    @needs(AsyncPutIfAbsentProtocol, setting("any_event_loop"))
    def test_one_of_several_threads_stores(self, store: StoreT) -> None:
        absent = ability(store, AsyncPutIfAbsentProtocol)

        async def claim(thread: int) -> list[int]:
            keys = range(20)
            return [key for key in keys if await absent.put_if_absent(f"key {key}", {"thread": thread})]

        won = in_threads(self, store, claim)
        assert sorted(key for keys in won for key in keys) == list(range(20))

    @needs(AsyncVersionedProtocol)
    async def test_one_of_many_tasks_replaces_a_version(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        results = await asyncio.gather(
            *(versioned.put_if_version("key", {"n": n}, version, collection="shelf") for n in range(_CONCURRENT_TASKS))
        )
        assert results.count(True) == 1
        assert exact(await store.get("key", collection="shelf")) == exact({"n": results.index(True)})

    @needs(AsyncVersionedProtocol)
    async def test_one_of_many_tasks_deletes_a_version(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        version = await version_of(store)
        results = await asyncio.gather(
            *(versioned.delete_if_version("key", version, collection="shelf") for _ in range(_CONCURRENT_TASKS))
        )
        assert results.count(True) == 1

    @needs(AsyncVersionedProtocol, setting("any_event_loop"))
    def test_one_of_several_threads_deletes_a_version(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        keys = [f"key {number}" for number in range(20)]

        async def prepare() -> list[Versioned]:
            await store.put_many(keys, [{"a": 1}] * len(keys))
            return [await versioned.get_versioned(key) for key in keys]

        versions = [found.version or "" for found in self.run(prepare())]

        async def claim(_: int) -> list[str]:
            pairs = zip(keys, versions, strict=True)
            return [key for key, version in pairs if await versioned.delete_if_version(key, version)]

        assert sorted(key for won in in_threads(self, store, claim) for key in won) == sorted(keys)

    @needs(AsyncVersionedProtocol)
    async def test_increments_of_many_tasks_add_up(self, store: StoreT) -> None:
        await asyncio.gather(*(increment(store, self.increments) for _ in range(self.contenders)))
        assert await store.get("counter") == {"count": self.contenders * self.increments}

    @needs(AsyncVersionedProtocol)
    async def test_no_write_is_replaced_twice_whatever_others_put_and_delete(self, store: StoreT) -> None:
        versioned = ability(store, AsyncVersionedProtocol)
        replaced: list[object] = []

        async def replace(task: int) -> None:
            for number in range(self.increments):
                found = await versioned.get_versioned("key")
                if await versioned.put_if_version("key", {"n": [task, number]}, found.version) and found.value:
                    replaced.append(found.value["n"])
                await asyncio.sleep(0)

        async def disturb() -> None:
            for number in range(self.increments * 2):
                await store.put("key", {"n": [-1, number]})
                await asyncio.sleep(0)
                if number % 3 == 0:
                    await store.delete("key")

        await asyncio.gather(disturb(), *(replace(task) for task in range(self.contenders)))
        assert [each for each in replaced if replaced.count(each) > 1] == []

    @needs(AsyncVersionedProtocol, helper("reopen"))
    async def test_increments_through_several_store_objects_add_up(self, store: StoreT) -> None:
        others = [self.reopen(store) for _ in range(3)]
        async with closing(*others):
            objects = [store, *others]
            each = -(-self.contenders // len(objects))
            await asyncio.gather(*(increment(one, self.increments) for one in objects for _ in range(each)))
            assert await store.get("counter") == {"count": len(objects) * each * self.increments}

    @needs(AsyncVersionedProtocol, setting("any_event_loop"))
    def test_increments_of_several_threads_add_up(self, store: StoreT) -> None:
        async def work(_: int) -> None:
            await asyncio.gather(*(increment(store, self.increments) for _ in range(2)))

        in_threads(self, store, work)
        assert self.run(closed_after(store, store.get("counter"))) == {"count": 8 * self.increments}

    @needs(AsyncVersionedProtocol, helper("address"))
    def test_increments_of_several_processes_add_up(self, store: StoreT) -> None:
        won = contend(*self.address(store), contest="increment")
        assert self.run(closed_after(store, contested_count(store))) == sum(won) == 4 * ROUNDS

    @needs(AsyncPutIfAbsentProtocol, helper("address"))
    def test_one_of_several_processes_stores(self, store: StoreT) -> None:
        assert sum(contend(*self.address(store), contest="put_if_absent")) == ROUNDS

    @needs(AsyncVersionedProtocol, helper("address"))
    def test_one_of_several_processes_deletes_a_version(self, store: StoreT) -> None:
        self.run(closed_after(store, prepare(store)))
        assert sum(contend(*self.address(store), contest="delete_if_version")) == ROUNDS
