"""Tests of the behaviour that a wrapper must preserve, to be run by its author."""

from copy import deepcopy
from typing import Any

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.errors import ReadOnlyError, StoreConnectionError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
    AsyncLifecycleProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
    CapabilitiesProtocol,
)
from key_value.aio.testing.calls import (
    EVERY_CALL,
    EVERY_READ,
    EVERY_WRITE,
    LISTINGS,
    READS,
    REMOVALS,
    WRITES,
    ExampleCall,
)
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import ability
from key_value.aio.testing.doubles import FaultyStore
from key_value.aio.testing.inner_stores import INNER_STORES, PROTOCOLS, ForeignStore, FullStore, PlainStore
from key_value.aio.testing.scan import pages, scanned
from key_value.aio.testing.tables import for_each
from key_value.aio.testing.wrapper_boundaries import BoundaryTests
from key_value.aio.testing.wrapping import comparable, fill

__all__ = [
    "EVERY_CALL",
    "EVERY_WRITE",
    "LISTINGS",
    "PROTOCOLS",
    "READS",
    "REMOVALS",
    "WRITES",
    "ExampleCall",
    "WrapperTests",
]


class WrapperTests(BoundaryTests):
    """Subclass it as `TestMyWrapper(WrapperTests)` and override `wrap`.

    To check that a wrapped store still satisfies the contract of a store, subclass StoreTests too, with a wrapped store
    as its fixture. If your wrapper changes a behaviour by design, override the corresponding test.
    """

    @for_each("protocol", PROTOCOLS)
    @for_each("inner", INNER_STORES)
    def test_a_wrapper_has_the_abilities_of_the_inner_store(
        self, inner: type[AsyncKeyValue], protocol: type[Any]
    ) -> None:
        store = inner()
        assert isinstance(self.wrap(store), protocol) == isinstance(store, protocol)
        assert isinstance(self.wrap(self.wrap(store)), protocol) == isinstance(store, protocol)

    def test_a_wrapper_is_a_store(self) -> None:
        wrapper = self.wrap(PlainStore())
        assert isinstance(wrapper, AsyncKeyValue)
        assert isinstance(wrapper, AsyncLifecycleProtocol)
        assert isinstance(wrapper, CapabilitiesProtocol)
        assert bool(wrapper) is True

    def test_wrapping_does_not_open_the_inner_store(self) -> None:
        store = PlainStore()
        self.wrap(store)
        assert store.opened == 0

    @for_each("call", EVERY_CALL)
    async def test_an_operation_answers_what_the_inner_store_would(self, call: ExampleCall) -> None:
        if self.read_only and call.name in EVERY_WRITE:
            pytest.skip(f"{type(self).__name__} sets read_only")
        bare = FullStore()
        await fill(bare)
        expected = await (await call.prepared(bare))(bare)
        for layers in (1, 2):
            wrapper = await self.filled(layers=layers)
            assert comparable(await (await call.prepared(wrapper))(wrapper)) == comparable(expected)
        found = [comparable(await EVERY_READ[name](wrapper)) for name in EVERY_READ]
        assert found == [comparable(await EVERY_READ[name](bare)) for name in EVERY_READ]

    def test_capabilities_are_those_of_the_inner_store(self) -> None:
        assert getattr(self.wrap(PlainStore()), "capabilities", None) == PlainStore.capabilities
        assert getattr(self.wrap(self.wrap(PlainStore())), "capabilities", None) == PlainStore.capabilities

    async def test_setup_and_close_reach_the_inner_store(self) -> None:
        store = PlainStore()
        wrapper: Any = self.wrap(self.wrap(store))
        await wrapper.setup()
        assert (store.opened, store.closed) == (1, 0)
        await wrapper.close()
        assert (store.opened, store.closed) == (1, 1)

    async def test_a_context_opens_and_closes_the_inner_store(self) -> None:
        store = PlainStore()
        wrapper: Any = self.wrap(store)
        async with wrapper as entered:
            assert entered is wrapper
            assert (store.opened, store.closed) == (1, 0)
        assert (store.opened, store.closed) == (1, 1)

    @for_each("layers", [1, 2])
    async def test_what_was_put_is_read(self, layers: int) -> None:
        wrapper = await self.filled(layers=layers)
        assert await wrapper.get("key", collection="shelf") == {"a": [1]}
        assert await wrapper.ttl("key", collection="shelf") == ({"a": [1]}, None)
        assert await wrapper.get_many(["other", "absent", "key"], collection="shelf") == [{"a": 2}, None, {"a": [1]}]
        assert await wrapper.ttl_many(["other"], collection="shelf") == [({"a": 2}, None)]

    async def test_a_collection_is_kept_apart_from_others(self) -> None:
        wrapper = await self.filled()
        for collection in (None, "other"):
            assert await wrapper.get("key", collection=collection) is None
            assert await wrapper.get_many(["key", "other"], collection=collection) == [None, None]

    @for_each("layers", [1, 2])
    async def test_a_deleted_entry_is_gone(self, layers: int) -> None:
        self.require_writes()
        wrapper = await self.filled(layers=layers)
        assert await wrapper.delete("key", collection="shelf") is True
        assert await wrapper.delete("key", collection="shelf") is False
        assert await wrapper.delete_many(["key", "other", "absent"], collection="shelf") == 1
        assert await wrapper.get_many(["key", "other"], collection="shelf") == [None, None]

    async def test_a_ttl_reaches_the_inner_store(self) -> None:
        self.require_writes()
        store = PlainStore()
        wrapper = self.wrap(store)
        with FakeClock() as clock:
            await wrapper.put("key", {"a": 1}, ttl=90)
            await wrapper.put_many(["other"], [{"a": 1}], ttl=90.0)
            clock.advance(30)
            assert [entry.ttl for entry in store.entries.values()] == [60.0, 60.0]
            assert await wrapper.ttl("key") == ({"a": 1}, 60.0)
            assert await wrapper.ttl_many(["other"]) == [({"a": 1}, 60.0)]
            clock.advance(60)
            assert await wrapper.get_many(["key", "other"]) == [None, None]

    async def test_the_values_of_the_caller_are_left_as_they_are(self) -> None:
        self.require_writes()
        value = {"a": [{"b": 1}]}
        before = deepcopy(value)
        wrapper = self.wrap(PlainStore())
        await wrapper.put("key", value)
        await wrapper.put_many(["one", "two"], [value, value])
        assert value == before

    async def test_keys_are_listed_as_they_were_put(self) -> None:
        wrapper = ability(await self.filled(), AsyncEnumerateKeysProtocol)
        assert sorted(await wrapper.keys("shelf")) == ["key", "other"]
        assert len(await wrapper.keys(collection="shelf", limit=1)) == 1
        assert await wrapper.keys("empty") == []

    @for_each("layers", [1, 2])
    async def test_pages_have_the_keys_as_they_were_put(self, layers: int) -> None:
        inner = FullStore()
        wrapper = ability(await self.filled(inner, layers=layers), AsyncScanProtocol)
        writable = inner if self.read_only else wrapper
        keys = ["a", "aa", "ab", "a*", "b", "é"]
        await ability(writable, AsyncKeyValue).put_many(keys, [{"a": 1}] * len(keys), collection="shelf")
        assert await scanned(wrapper) == {"key", "other", *keys}
        for prefix in ("a", "aa", "a*", "*", "k", "é", "absent"):
            expected = {key for key in ("key", "other", *keys) if key.startswith(prefix)}
            assert await scanned(wrapper, prefix=prefix, limit=1) == expected
        assert [page.keys for page in await pages(wrapper, "empty")] == [[]]

    async def test_a_cursor_of_another_prefix_or_collection_is_refused(self) -> None:
        inner = FullStore()
        wrapper = ability(await self.filled(inner), AsyncScanProtocol)
        writable = inner if self.read_only else wrapper
        keys = [f"a{number}" for number in range(9)]
        await ability(writable, AsyncKeyValue).put_many(keys, [{"a": 1}] * len(keys), collection="shelf")
        cursor = (await wrapper.scan("shelf", prefix="a", limit=1)).cursor
        assert cursor is not None
        for collection, prefix in (("shelf", ""), ("shelf", "b"), ("other shelf", "a"), (None, "a")):
            with pytest.raises(ValueError, match="cursor"):
                await wrapper.scan(collection, prefix=prefix, cursor=cursor)

    async def test_a_version_is_good_for_one_write(self) -> None:
        self.require_writes()
        wrapper = ability(await self.filled(), AsyncVersionedProtocol)
        first = await wrapper.get_versioned("key", collection="shelf")
        assert (first.value, first.ttl) == ({"a": [1]}, None)
        assert await wrapper.put_if_version("key", {"a": 7}, first.version, collection="shelf", ttl=90) is True
        assert await wrapper.put_if_version("key", {"a": 8}, first.version, collection="shelf") is False
        second = await wrapper.get_versioned("key", collection="shelf")
        assert second.value == {"a": 7}
        assert second.version not in (None, first.version)
        assert await wrapper.delete_if_version("key", str(first.version), collection="shelf") is False
        assert await wrapper.delete_if_version("key", str(second.version), collection="shelf") is True
        assert await wrapper.get_versioned("key", collection="shelf") == (None, None, None)

    async def test_a_version_of_another_entry_is_refused(self) -> None:
        self.require_writes()
        wrapper = ability(await self.filled(), AsyncVersionedProtocol)
        version = str((await wrapper.get_versioned("key", collection="shelf")).version)
        for key, collection in (("other", "shelf"), ("key", None), ("key", "other shelf")):
            with pytest.raises(ValueError, match="version"):
                await wrapper.put_if_version(key, {"a": 7}, version, collection=collection)
            with pytest.raises(ValueError, match="version"):
                await wrapper.delete_if_version(key, version, collection=collection)

    async def test_collections_are_listed_as_they_were_put(self) -> None:
        wrapper = ability(await self.filled(), AsyncEnumerateCollectionsProtocol)
        assert await wrapper.collections() == ["shelf"]
        assert await wrapper.collections(limit=0) == []

    async def test_destroy_removes_every_entry(self) -> None:
        self.require_writes()
        wrapper = await self.filled()
        assert await ability(wrapper, AsyncDestroyStoreProtocol).destroy() is True
        assert await wrapper.get_many(["key", "other"], collection="shelf") == [None, None]
        await wrapper.put("key", {"a": 3}, collection="shelf")
        assert await wrapper.get("key", collection="shelf") == {"a": 3}

    async def test_destroy_collection_removes_its_entries_only(self) -> None:
        self.require_writes()
        wrapper = await self.filled()
        await wrapper.put("key", {"a": 3}, collection="other shelf")
        destroyable = ability(wrapper, AsyncDestroyCollectionProtocol)
        assert await destroyable.destroy_collection("shelf") is True
        assert await destroyable.destroy_collection("shelf") is False
        assert await wrapper.get("key", collection="shelf") is None
        assert await wrapper.get("key", collection="other shelf") == {"a": 3}

    async def test_cull_reaches_the_inner_store(self) -> None:
        self.require_writes()
        store = FullStore()
        wrapper = self.wrap(store)
        with FakeClock() as clock:
            await wrapper.put("expired", {"a": 1}, ttl=90)
            await wrapper.put("live", {"a": 1})
            clock.advance(100)
            await ability(wrapper, AsyncCullProtocol).cull()
        assert len(store.entries) == 1

    @for_each("call", EVERY_CALL)
    async def test_an_error_of_the_inner_store_comes_out_as_it_is(self, call: ExampleCall) -> None:
        error = StoreConnectionError("the server is down")
        inner = FaultyStore(FullStore())
        wrapper = await self.filled(inner)
        prepared = await call.prepared(wrapper)
        inner.fail(error)
        with pytest.raises((StoreConnectionError, ReadOnlyError)) as raised:
            await prepared(wrapper)
        assert raised.value is error or (self.read_only and call.name in EVERY_WRITE)

    @for_each("call", EVERY_WRITE)
    async def test_a_read_only_wrapper_refuses_to_write(self, call: ExampleCall) -> None:
        if not self.read_only:
            pytest.skip(f"{type(self).__name__} does not set read_only")
        inner = FullStore()
        wrapper = await self.filled(inner)
        before = dict(inner.entries)
        with pytest.raises(ReadOnlyError):
            await call(wrapper)
        assert inner.entries == before

    async def test_any_object_with_the_eight_methods_can_be_wrapped(self) -> None:
        foreign: Any = ForeignStore()
        wrapper: Any = await self.filled(foreign)
        assert [protocol for protocol in PROTOCOLS if isinstance(wrapper, protocol)] == []
        assert wrapper.capabilities == Capabilities()
        async with wrapper:
            for call in (READS if self.read_only else {**READS, **WRITES}).values():
                await call(wrapper)

    def test_a_repr_shows_no_secret(self) -> None:
        if not self.secrets:
            pytest.skip(f"{type(self).__name__} does not set secrets")
        shown = repr(self.wrap(PlainStore()))
        assert [secret for secret in self.secrets if secret in shown] == []
