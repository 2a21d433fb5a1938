"""Enumeration: every live name is listed once, and no other name."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from key_value.aio.protocols import AsyncEnumerateCollectionsProtocol, AsyncEnumerateKeysProtocol, AsyncKeyValue
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import StoreContract, StoreT, ability, capabilities_of, eventually, store_keys
from key_value.aio.testing.selection import declares, declares_no, needs
from key_value.aio.testing.tables import Decorator, for_each

__all__ = ["EnumerationTests"]

GLOBS = ["*", "a*", "?", "[a-z]", "a?", "a\\*", "%", "_", ".*"]

Enumeration = Callable[[AsyncKeyValue, Any], Awaitable[list[str]]]

ENUMERATIONS: dict[str, Enumeration] = {
    "keys": lambda store, limit: ability(store, AsyncEnumerateKeysProtocol).keys("shelf", limit=limit),
    "collections": lambda store, limit: ability(store, AsyncEnumerateCollectionsProtocol).collections(limit=limit),
}

each_enumeration: Decorator = for_each("enumerate_names", ENUMERATIONS)


class EnumerationTests(StoreContract[StoreT]):
    @each_enumeration
    async def test_an_empty_store_lists_nothing(self, store: StoreT, enumerate_names: Enumeration) -> None:
        assert await enumerate_names(store, None) == []

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_lists_every_key_of_a_collection(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3, collection="shelf")
        assert sorted(await enumerable.keys("shelf")) == ["a", "b", "c"]
        assert sorted(await enumerable.keys(collection="shelf")) == ["a", "b", "c"]

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_without_collection_lists_the_default_one(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        await store.put("a", {"n": 1})
        await store.put("b", {"n": 1}, collection="shelf")
        assert await enumerable.keys() == ["a"]

    @needs(AsyncEnumerateCollectionsProtocol)
    async def test_collections_lists_every_collection_once(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateCollectionsProtocol)
        for collection in ("one", "two"):
            await store.put_many(["a", "b"], [{"n": 1}] * 2, collection=collection)
        assert sorted(await enumerable.collections()) == ["one", "two"]

    @needs(AsyncEnumerateKeysProtocol)
    async def test_a_replaced_entry_is_listed_once(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        for number in range(3):
            await store.put("a", {"n": number}, collection="shelf")
        assert await enumerable.keys("shelf") == ["a"]

    @needs(AsyncEnumerateKeysProtocol)
    async def test_a_deleted_entry_is_not_listed(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="shelf")
        await store.delete("a", collection="shelf")
        assert await enumerable.keys("shelf") == ["b"]

    @needs(AsyncEnumerateCollectionsProtocol)
    async def test_a_collection_without_entries_is_not_listed(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateCollectionsProtocol)
        await store.put("a", {"n": 1}, collection="shelf")
        await store.get("a", collection="read only")
        await store.delete("a", collection="shelf")
        assert await enumerable.collections() == []

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_is_complete_however_many_there_are(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        keys = [f"key {number}" for number in range(self.many_keys)]
        await store_keys(store, keys, "shelf")
        assert sorted(await enumerable.keys("shelf")) == sorted(keys)
        assert len(set(await enumerable.keys("shelf", limit=self.many_keys - 1))) == self.many_keys - 1

    @for_each(("limit", "listed"), [(0, 0), (1, 1), (4, 4), (5, 5), (6, 5), (10**9, 5)])
    @each_enumeration
    async def test_a_limit_is_honoured_exactly(
        self, store: StoreT, enumerate_names: Enumeration, limit: int, listed: int
    ) -> None:
        # Five entries in the collection "shelf", and five collections.
        await store.put_many(["a", "b", "c", "d", "e"], [{"n": 1}] * 5, collection="shelf")
        for collection in ("a", "b", "c", "d"):
            await store.put("a", {"n": 1}, collection=collection)
        names = await enumerate_names(store, limit)
        assert len(set(names)) == len(names) == listed
        assert set(names) <= {"a", "b", "c", "d", "e", "shelf"}

    @each_enumeration
    async def test_a_negative_limit_is_refused(self, store: StoreT, enumerate_names: Enumeration) -> None:
        await store.put("a", {"n": 1}, collection="shelf")
        with pytest.raises(ValueError, match="limit"):
            await enumerate_names(store, -1)

    @for_each("limit", ["5", 1.5, True])
    @each_enumeration
    async def test_a_limit_that_is_not_an_int_is_a_type_error(
        self, store: StoreT, enumerate_names: Enumeration, limit: Any
    ) -> None:
        self._require_type_checks()
        await store.put("a", {"n": 1}, collection="shelf")
        with pytest.raises(TypeError):
            await enumerate_names(store, limit)

    @needs(AsyncEnumerateKeysProtocol)
    async def test_keys_takes_no_name_for_a_pattern(self, store: StoreT) -> None:
        enumerable = ability(store, AsyncEnumerateKeysProtocol)
        await store.put_many(["a", "ab", "b"], [{"n": 1}] * 3, collection="abc")
        for collection in GLOBS:
            assert await enumerable.keys(collection) == []
            await store.put(collection, {"n": 1}, collection=collection)
            assert await enumerable.keys(collection) == [collection]
        assert sorted(await enumerable.keys("abc")) == ["a", "ab", "b"]

    @needs(declares_no("native_expiry"))
    @each_enumeration
    async def test_an_expired_entry_is_not_listed(
        self, store: StoreT, clock: FakeClock, enumerate_names: Enumeration
    ) -> None:
        await store.put("expired", {"n": 1}, collection="shelf", ttl=100)
        assert len(await enumerate_names(store, None)) == 1
        clock.advance(100 + self.ttl_granularity)
        assert await enumerate_names(store, None) == []

    @needs(declares("native_expiry"))
    @each_enumeration
    async def test_an_entry_that_the_backend_expired_is_not_listed(
        self, store: StoreT, enumerate_names: Enumeration
    ) -> None:
        resolution = capabilities_of(store).expiry_resolution or 0.0
        start = time.monotonic()
        await store.put("expired", {"n": 1}, collection="shelf", ttl=0.2)

        async def unlisted() -> bool:
            return not await enumerate_names(store, None)

        assert await eventually(unlisted, within=0.2 + resolution + self.native_expiry_wait)
        assert time.monotonic() - start >= 0.2 - 0.005
