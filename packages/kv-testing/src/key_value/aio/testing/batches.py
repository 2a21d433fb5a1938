"""Batches: order, repetition, and all or nothing before the first is sent."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from key_value.aio.errors import InvalidTTLError, KeyValueStoreError, SerializationError, ValueTooLargeError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.base import BaseStore
from key_value.aio.testing.contract import StoreContract, StoreT, ability, cancel_after, eventually
from key_value.aio.testing.selection import declares, needs
from key_value.aio.testing.tables import for_each

__all__ = ["BatchTests"]

Batch = Callable[[AsyncKeyValue, Any], Awaitable[object]]

BATCHES: dict[str, Batch] = {
    "get_many": lambda store, keys: store.get_many(keys),
    "ttl_many": lambda store, keys: store.ttl_many(keys),
    "put_many": lambda store, keys: store.put_many(keys, [{"a": 1}]),
    "delete_many": lambda store, keys: store.delete_many(keys),
}

NOT_SEQUENCES: dict[str, Callable[[], Any]] = {
    "str": lambda: "k",
    "bytes": lambda: b"k",
    "set": lambda: {"k"},
    "generator": lambda: (key for key in ["k"]),
    "None": lambda: None,
}


class BatchTests(StoreContract[StoreT]):
    async def test_values_come_in_the_order_of_the_keys(self, store: StoreT) -> None:
        await store.put_many(["a", "b", "c"], [{"n": 1}, {"n": 2}, {"n": 3}])
        assert await store.get_many(["c", "absent", "a"]) == [{"n": 3}, None, {"n": 1}]
        assert await store.ttl_many(["c", "absent", "a"]) == [({"n": 3}, None), (None, None), ({"n": 1}, None)]

    async def test_a_key_may_repeat_when_reading(self, store: StoreT) -> None:
        await store.put("a", {"n": 1})
        assert await store.get_many(["a", "absent", "a", "absent"]) == [{"n": 1}, None, {"n": 1}, None]
        assert await store.ttl_many(["a", "absent", "a"]) == [({"n": 1}, None), (None, None), ({"n": 1}, None)]

    async def test_the_last_value_of_a_key_that_repeats_wins(self, store: StoreT) -> None:
        await store.put_many(["a", "b", "a"], [{"n": 1}, {"n": 2}, {"n": 3}])
        assert await store.get_many(["a", "b"]) == [{"n": 3}, {"n": 2}]

    async def test_a_batch_counts_the_entries_it_deleted(self, store: StoreT) -> None:
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
        assert await store.delete_many(["a", "absent", "b"]) == 2
        assert await store.delete_many(["a", "b"]) == 0
        assert await store.get_many(["a", "b", "c"]) == [None, None, {"n": 1}]

    async def test_a_key_that_repeats_is_deleted_once(self, store: StoreT) -> None:
        await store.put("a", {"n": 1})
        assert await store.delete_many(["a", "a", "a"]) == 1

    async def test_a_batch_keeps_to_its_collection(self, store: StoreT) -> None:
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="one")
        await store.put_many(["a"], [{"n": 3}], collection="two")
        assert await store.get_many(["a", "b"], collection="two") == [{"n": 3}, None]
        assert await store.delete_many(["a", "b"], collection="two") == 1
        assert await store.get_many(["a", "b"], collection="one") == [{"n": 1}, {"n": 2}]

    async def test_batches_and_single_calls_see_the_same_entries(self, store: StoreT) -> None:
        await store.put("single", {"n": 1})
        await store.put_many(["batch"], [{"n": 2}])
        assert await store.get_many(["single", "batch"]) == [{"n": 1}, {"n": 2}]
        assert await store.get("batch") == {"n": 2}

    async def test_a_batch_of_1000_entries_works(self, store: StoreT) -> None:
        keys = [f"key {number}" for number in range(1000)]
        values = [{"number": number} for number in range(1000)]
        await store.put_many(keys, values)
        assert await store.get_many(keys) == values
        assert await store.delete_many(keys) == 1000
        assert await store.get_many(keys) == [None] * 1000

    async def test_tuples_serve_as_keys_and_values(self, store: StoreT) -> None:
        await store.put_many(("a", "b"), ({"n": 1}, {"n": 2}))
        assert await store.get_many(("a", "b")) == [{"n": 1}, {"n": 2}]
        assert await store.delete_many(("a", "b")) == 2

    def test_an_empty_batch_does_no_io(self, store: StoreT) -> None:
        assert _without_event_loop(store.get_many([])) == []
        assert _without_event_loop(store.ttl_many([])) == []
        assert _without_event_loop(store.put_many([], [])) is None
        assert _without_event_loop(store.delete_many([])) == 0

    @for_each("number", [0, 1, 3])
    async def test_as_many_values_as_keys_are_needed(self, store: StoreT, key: str, number: int) -> None:
        keys = [f"{key} a", f"{key} b"]
        with pytest.raises(ValueError, match="values"):
            await store.put_many(keys, [{"n": 1}] * number)
        assert await store.get_many(keys) == [None, None]

    @for_each("make", NOT_SEQUENCES)
    @for_each("batch", BATCHES)
    async def test_keys_that_are_not_a_sequence_of_str_are_a_type_error(
        self, store: StoreT, batch: Batch, make: Callable[[], Any]
    ) -> None:
        self._require_type_checks()
        await store.delete("k")  # an earlier row may have stored it
        with pytest.raises(TypeError):
            await batch(store, make())
        assert await store.get("k") is None

    @needs(declares("atomic_put_many"))
    async def test_a_batch_cancelled_in_the_middle_is_stored_as_a_whole_or_not_at_all(self, store: StoreT) -> None:
        # Keys of a batch, by the number of steps after which it is cancelled.
        batches = {steps: [f"{steps} {number}" for number in range(10)] for steps in range(12)}
        for steps, keys in batches.items():
            await store.put_many(keys, [{"n": "old"}] * len(keys))
            await cancel_after(steps, store.put_many(keys, [{"n": "new"}] * len(keys)))
        torn: list[int] = []

        async def all_are_whole() -> bool:
            stored = {steps: await store.get_many(keys) for steps, keys in batches.items()}
            torn[:] = [steps for steps, values in stored.items() if any(value != values[0] for value in values)]
            assert all(value in ({"n": "old"}, {"n": "new"}) for values in stored.values() for value in values)
            return not torn

        # The backend may still be storing a batch, and reads may not be atomic.
        assert await eventually(all_are_whole, within=10), f"partly stored when cancelled after {torn} steps"

    @needs(declares("atomic_put_many"))
    async def test_a_batch_that_the_backend_refuses_in_the_middle_stores_none(
        self, store: StoreT, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        base: Any = ability(store, BaseStore)
        put = base._put_managed_entry  # noqa: SLF001 — fails if the batch is a series of single puts

        async def put_unless_third(*, key: str, **names: Any) -> None:
            if "third" in key:
                raise KeyValueStoreError
            await put(key=key, **names)

        monkeypatch.setattr(base, "_put_managed_entry", put_unless_third)
        keys = ["first", "second", "third", "fourth"]
        with suppress(KeyValueStoreError):
            await store.put_many(keys, [{"n": 1}] * 4)
        assert await store.get_many(keys) in ([None] * 4, [{"n": 1}] * 4)

    @needs(declares("atomic_put_many"), declares("max_value_bytes"))
    async def test_a_batch_with_a_value_over_the_limit_stores_none(self, store: StoreT) -> None:
        values = [{"n": 1}, {"n": 2}, {"text": "x" * self.value_limit(store)}]
        with pytest.raises(ValueTooLargeError):
            await store.put_many(["a", "b", "c"], values)
        assert await store.get_many(["a", "b", "c"]) == [None] * 3

    async def test_a_refused_batch_stores_none_of_its_entries(self, store: StoreT) -> None:
        with pytest.raises(InvalidTTLError):
            await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=-1)
        with pytest.raises(SerializationError):
            await store.put_many(["a", "b"], [{"n": 1}, {"n": object()}])
        assert await store.get_many(["a", "b"]) == [None, None]


def _without_event_loop(coroutine: Coroutine[Any, Any, object]) -> object:
    """Return the result of a coroutine that never suspends."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    pytest.fail("an empty batch must not wait for anything")
