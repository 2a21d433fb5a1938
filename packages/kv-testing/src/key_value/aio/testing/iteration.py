"""Iteration: over all keys or entries of a store that scans or lists, one page at a time."""

import pytest
from key_value.aio.core.iteration import Entry, iterate_entries, iterate_keys
from key_value.aio.protocols import AsyncEnumerateKeysProtocol, AsyncScanProtocol
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, store_keys
from key_value.aio.testing.names import NASTY_NAMES
from key_value.aio.testing.scan import PREFIXES
from key_value.aio.testing.selection import implements
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["IterationTests"]

each_page_size: Decorator = for_each("page_size", [1, 7, 1000])


class IterationTests(StoreContract[StoreT], needs=(implements(AsyncScanProtocol, AsyncEnumerateKeysProtocol),)):
    @each_page_size
    async def test_iterating_gives_every_key_of_the_collection(self, store: StoreT, page_size: int) -> None:
        names = self.enumerable(store, NASTY_NAMES)
        await store_keys(store, names, "shelf")
        await store.put("a", {"n": 1}, collection="other")
        assert {key async for key in iterate_keys(store, "shelf", page_size=page_size)} == set(names)
        assert [key async for key in iterate_keys(store, page_size=page_size)] == []

    @each_page_size
    async def test_iterating_gives_every_entry_with_its_value_and_ttl(
        self, store: StoreT, clock: FakeClock, shelf: str, page_size: int
    ) -> None:
        await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection=shelf, ttl=100)
        await store_keys(store, [f"key {number}" for number in range(20)], shelf)
        clock.advance(40)
        found = {entry.key: entry async for entry in iterate_entries(store, shelf, page_size=page_size)}
        assert found.keys() == {"a", "b", *(f"key {number}" for number in range(20))}
        assert found["key 7"] == Entry("key 7", {"n": 1}, None)
        assert found["b"].value == {"n": 2}
        assert found["b"].ttl == pytest.approx(60, abs=1e-6 + self.ttl_granularity)

    @for_each("prefix", PREFIXES[::4])
    async def test_iterating_takes_a_prefix_for_what_it_is(self, store: StoreT, prefix: str) -> None:
        names = self.enumerable(store, NASTY_NAMES)
        await store_keys(store, names, "shelf")
        expected = {key for key in names if key.startswith(prefix)}
        assert {key async for key in iterate_keys(store, "shelf", prefix=prefix, page_size=7)} == expected
        assert {entry.key async for entry in iterate_entries(store, "shelf", prefix=prefix)} == expected

    async def test_an_expired_entry_is_not_iterated(self, store: StoreT, clock: FakeClock) -> None:
        await store.put("expired", {"n": 1}, collection="shelf", ttl=100)
        await store.put("live", {"n": 2}, collection="shelf")
        clock.advance(100 + self.ttl_granularity)
        found = [entry async for entry in iterate_entries(store, "shelf")]
        assert found == [Entry("live", {"n": 2}, None)]

    async def test_what_was_iterated_may_be_deleted_on_the_way(self, store: StoreT) -> None:
        keys = {f"key {number}" for number in range(50)}
        await store_keys(store, sorted(keys), "shelf")
        found: set[str] = set()
        async for key in iterate_keys(store, "shelf", page_size=7):
            found.add(key)
            await store.delete(key, collection="shelf")
        assert found == keys
        assert [key async for key in iterate_keys(store, "shelf")] == []
