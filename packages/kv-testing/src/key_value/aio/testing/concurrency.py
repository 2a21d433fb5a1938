"""Concurrency: values stay intact under concurrent and cancelled calls."""

import asyncio

from key_value.aio.testing.contenders import ROUNDS, contend, prepare
from key_value.aio.testing.contract import StoreContract, StoreT, cancel_after
from key_value.aio.testing.running import closed_after, closing
from key_value.aio.testing.selection import declares, helper, needs, setting
from key_value.aio.testing.tables import for_each
from key_value.aio.testing.threads import in_threads

__all__ = ["ConcurrencyTests"]


class ConcurrencyTests(StoreContract[StoreT]):
    async def test_1000_concurrent_operations_work(self, store: StoreT) -> None:
        keys = [f"key {number}" for number in range(1000)]
        await asyncio.gather(*(store.put(key, {"key": key}) for key in keys))
        assert await asyncio.gather(*(store.get(key) for key in keys)) == [{"key": key} for key in keys]
        assert await asyncio.gather(*(store.delete(key) for key in keys)) == [True] * 1000

    async def test_concurrent_batches_work(self, store: StoreT) -> None:
        batches = [[f"key {batch} {number}" for number in range(20)] for batch in range(20)]
        await asyncio.gather(*(store.put_many(keys, [{"key": key} for key in keys]) for keys in batches))
        found = await asyncio.gather(*(store.get_many(keys) for keys in batches))
        assert found == [[{"key": key} for key in keys] for keys in batches]

    async def test_concurrent_calls_of_every_kind_do_not_mix_answers(self, store: StoreT) -> None:
        async def use(number: int) -> None:
            key, value = f"key {number}", {"number": number}
            await store.put(key, value, ttl=1000)
            assert await store.get_many([key, f"absent {number}"]) == [value, None]
            found, remaining = await store.ttl(key)
            assert (found, remaining is not None) == (value, True)
            assert await store.delete(key) is True
            assert await store.get(key) is None

        await asyncio.gather(*(use(number) for number in range(100)))

    async def test_concurrent_puts_of_one_key_leave_one_of_the_values(self, store: StoreT) -> None:
        values = [{"number": number, "text": str(number) * 1000} for number in range(100)]
        await asyncio.gather(*(store.put("key", value) for value in values))
        assert await store.get("key") in values

    async def test_the_last_put_wins(self, store: StoreT) -> None:
        for number in range(20):
            await asyncio.create_task(store.put("key", {"number": number}))
        assert await store.get("key") == {"number": 19}

    @needs(declares("atomic_delete"))
    async def test_one_of_many_concurrent_deletes_finds_the_entry(self, store: StoreT) -> None:
        await store.put("key", {"a": 1})
        assert sum(await asyncio.gather(*(store.delete("key") for _ in range(50)))) == 1

    @needs(declares("atomic_delete"), helper("reopen"))
    async def test_one_of_the_deletes_through_several_objects_finds_the_entry(self, store: StoreT) -> None:
        others = [self.reopen(store) for _ in range(4)]
        async with closing(*others):
            for number in range(5):
                await store.put("key", {"n": number})
                deletes = [one.delete("key") for one in (store, *others) for _ in range(4)]
                assert sum(await asyncio.gather(*deletes)) == 1

    @needs(declares("atomic_delete"), setting("any_event_loop"))
    def test_one_of_the_deletes_of_several_threads_finds_the_entry(self, store: StoreT) -> None:
        keys = [f"key {number}" for number in range(20)]
        self.run(store.put_many(keys, [{"n": 1}] * len(keys)))

        async def delete(_: int) -> list[str]:
            return [key for key in keys if await store.delete(key)]

        found = in_threads(self, store, delete)
        assert sorted(key for each in found for key in each) == sorted(keys)

    @needs(declares("atomic_delete"), helper("address"))
    def test_one_of_the_deletes_of_several_processes_finds_the_entry(self, store: StoreT) -> None:
        self.run(closed_after(store, prepare(store)))
        assert sum(contend(*self.address(store), contest="delete")) == ROUNDS

    @for_each("steps", range(12))
    async def test_a_put_cancelled_in_the_middle_leaves_the_old_or_the_new_value(
        self, store: StoreT, key: str, steps: int
    ) -> None:
        old, new = {"text": "o" * 100_000}, {"text": "n" * 100_000}
        await store.put(key, old)
        await cancel_after(steps, store.put(key, new))
        assert await store.get(key) in (old, new)
        assert await store.get("absent") is None

    @for_each("steps", range(12))
    async def test_cancelled_reads_do_not_disturb_later_ones(self, store: StoreT, key: str, steps: int) -> None:
        keys = [f"{key} {number}" for number in range(10)]
        await store.put_many(keys, [{"key": key} for key in keys])
        await asyncio.gather(*(cancel_after(steps, store.get(key)) for key in keys))
        assert [await store.get(key) for key in keys] == [{"key": key} for key in keys]
