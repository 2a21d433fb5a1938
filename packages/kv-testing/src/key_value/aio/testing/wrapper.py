"""What a wrapper must let through, as tests that its author runs."""

from collections.abc import Awaitable, Callable, Sequence
from copy import deepcopy
from typing import Any, ClassVar

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
)
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.contract import ability
from key_value.aio.testing.inner_stores import INNER_STORES, FailingStore, ForeignStore, FullStore, PlainStore
from key_value.aio.testing.running import AsyncTests

__all__ = ["WrapperTests"]

PROTOCOLS: list[type[Any]] = [
    AsyncEnumerateKeysProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncDestroyStoreProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncCullProtocol,
]

Call = Callable[[Any], Awaitable[object]]

READS: dict[str, Call] = {
    "get": lambda store: store.get("key", collection="shelf"),
    "ttl": lambda store: store.ttl("key", collection="shelf"),
    "get_many": lambda store: store.get_many(["key", "other"], collection="shelf"),
    "ttl_many": lambda store: store.ttl_many(["key", "other"], collection="shelf"),
}

WRITES: dict[str, Call] = {
    "put": lambda store: store.put("key", {"a": 2}, collection="shelf"),
    "put_many": lambda store: store.put_many(["key", "other"], [{"a": 2}] * 2, collection="shelf"),
    "delete": lambda store: store.delete("key", collection="shelf"),
    "delete_many": lambda store: store.delete_many(["key", "other"], collection="shelf"),
}

LISTINGS: dict[str, Call] = {
    "keys": lambda store: store.keys("shelf"),
    "collections": lambda store: store.collections(),
}

REMOVALS: dict[str, Call] = {
    "destroy": lambda store: store.destroy(),
    "destroy_collection": lambda store: store.destroy_collection("shelf"),
    "cull": lambda store: store.cull(),
}

EVERY_CALL = {**READS, **WRITES, **LISTINGS, **REMOVALS}
EVERY_WRITE = {**WRITES, **REMOVALS}


class WrapperTests(AsyncTests):
    """Subclass it as `TestMyWrapper(WrapperTests)` and override `wrap`.

    To see that every contract of a store holds through the wrapper, subclass StoreTests too, with a wrapped store as
    its fixture. A wrapper that changes one of these behaviours by design overrides the test of it.
    """

    read_only: ClassVar[bool] = False
    """Whether every write through the wrapper is refused with ReadOnlyError."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and keys that `wrap` gives the wrapper, none of which its repr may show."""

    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        """The wrapper around the store, with options that let what these tests store pass."""
        raise NotImplementedError

    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize("inner", INNER_STORES)
    def test_a_wrapper_has_the_abilities_of_the_inner_store(
        self, inner: type[AsyncKeyValue], protocol: type[Any]
    ) -> None:
        store = inner()
        assert isinstance(self.wrap(store), protocol) == isinstance(store, protocol)
        assert isinstance(self.wrap(self.wrap(store)), protocol) == isinstance(store, protocol)

    def test_a_wrapper_is_a_store(self) -> None:
        wrapper = self.wrap(PlainStore())
        assert isinstance(wrapper, AsyncKeyValue)
        assert bool(wrapper) is True

    def test_wrapping_does_not_open_the_inner_store(self) -> None:
        store = PlainStore()
        self.wrap(store)
        assert store.opened == 0

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

    @pytest.mark.parametrize("layers", [1, 2])
    async def test_what_was_put_is_read(self, layers: int) -> None:
        wrapper = await self._filled(layers=layers)
        assert await wrapper.get("key", collection="shelf") == {"a": [1]}
        assert await wrapper.ttl("key", collection="shelf") == ({"a": [1]}, None)
        assert await wrapper.get_many(["other", "absent", "key"], collection="shelf") == [{"a": 2}, None, {"a": [1]}]
        assert await wrapper.ttl_many(["other"], collection="shelf") == [({"a": 2}, None)]

    async def test_a_collection_is_kept_apart_from_others(self) -> None:
        wrapper = await self._filled()
        for collection in (None, "other"):
            assert await wrapper.get("key", collection=collection) is None
            assert await wrapper.get_many(["key", "other"], collection=collection) == [None, None]

    @pytest.mark.parametrize("layers", [1, 2])
    async def test_a_deleted_entry_is_gone(self, layers: int) -> None:
        self._require_writes()
        wrapper = await self._filled(layers=layers)
        assert await wrapper.delete("key", collection="shelf") is True
        assert await wrapper.delete("key", collection="shelf") is False
        assert await wrapper.delete_many(["key", "other", "absent"], collection="shelf") == 1
        assert await wrapper.get_many(["key", "other"], collection="shelf") == [None, None]

    async def test_a_ttl_reaches_the_inner_store(self) -> None:
        self._require_writes()
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
        self._require_writes()
        value = {"a": [{"b": 1}]}
        before = deepcopy(value)
        wrapper = self.wrap(PlainStore())
        await wrapper.put("key", value)
        await wrapper.put_many(["one", "two"], [value, value])
        assert value == before

    async def test_keys_are_listed_as_they_were_put(self) -> None:
        wrapper = ability(await self._filled(), AsyncEnumerateKeysProtocol)
        assert sorted(await wrapper.keys("shelf")) == ["key", "other"]
        assert len(await wrapper.keys(collection="shelf", limit=1)) == 1
        assert await wrapper.keys("empty") == []

    async def test_collections_are_listed_as_they_were_put(self) -> None:
        wrapper = ability(await self._filled(), AsyncEnumerateCollectionsProtocol)
        assert await wrapper.collections() == ["shelf"]
        assert await wrapper.collections(limit=0) == []

    async def test_destroy_removes_every_entry(self) -> None:
        self._require_writes()
        wrapper = await self._filled()
        assert await ability(wrapper, AsyncDestroyStoreProtocol).destroy() is True
        assert await wrapper.get_many(["key", "other"], collection="shelf") == [None, None]
        await wrapper.put("key", {"a": 3}, collection="shelf")
        assert await wrapper.get("key", collection="shelf") == {"a": 3}

    async def test_destroy_collection_removes_its_entries_only(self) -> None:
        self._require_writes()
        wrapper = await self._filled()
        await wrapper.put("key", {"a": 3}, collection="other shelf")
        destroyable = ability(wrapper, AsyncDestroyCollectionProtocol)
        assert await destroyable.destroy_collection("shelf") is True
        assert await destroyable.destroy_collection("shelf") is False
        assert await wrapper.get("key", collection="shelf") is None
        assert await wrapper.get("key", collection="other shelf") == {"a": 3}

    async def test_cull_reaches_the_inner_store(self) -> None:
        self._require_writes()
        store = FullStore()
        wrapper = self.wrap(store)
        with FakeClock() as clock:
            await wrapper.put("expired", {"a": 1}, ttl=90)
            await wrapper.put("live", {"a": 1})
            clock.advance(100)
            await ability(wrapper, AsyncCullProtocol).cull()
        assert len(store.entries) == 1

    @pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
    async def test_an_error_of_the_inner_store_comes_out_as_it_is(self, call: Call) -> None:
        error = StoreConnectionError("the server is down")
        with pytest.raises((StoreConnectionError, ReadOnlyError)) as raised:
            await call(self.wrap(FailingStore(error)))
        assert raised.value is error or self.read_only

    @pytest.mark.parametrize("call", EVERY_WRITE.values(), ids=EVERY_WRITE)
    async def test_a_read_only_wrapper_refuses_to_write(self, call: Call) -> None:
        if not self.read_only:
            pytest.skip(f"{type(self).__name__} does not say that its wrapper is read_only")
        wrapper = await self._filled()
        with pytest.raises(ReadOnlyError):
            await call(wrapper)
        assert await wrapper.get("key", collection="shelf") == {"a": [1]}

    async def test_any_object_with_the_eight_methods_can_be_wrapped(self) -> None:
        foreign: Any = ForeignStore()
        wrapper: Any = await self._filled(foreign)
        assert [protocol for protocol in PROTOCOLS if isinstance(wrapper, protocol)] == []
        assert wrapper.capabilities == Capabilities()
        async with wrapper:
            for call in (READS if self.read_only else {**READS, **WRITES}).values():
                await call(wrapper)

    def test_a_repr_shows_no_secret(self) -> None:
        if not self.secrets:
            pytest.skip(f"{type(self).__name__} names no `secrets` that its wrapper was given")
        shown = repr(self.wrap(PlainStore()))
        assert [secret for secret in self.secrets if secret in shown] == []

    async def _filled(self, store: AsyncKeyValue | None = None, *, layers: int = 1) -> AsyncKeyValue:
        """The wrapper around a store with two entries on a shelf."""
        wrapper = store = FullStore() if store is None else store
        for _ in range(layers):
            wrapper = self.wrap(wrapper)
        writable = store if self.read_only else wrapper
        await writable.put("key", {"a": [1]}, collection="shelf")
        await writable.put_many(["other"], [{"a": 2}], collection="shelf")
        return wrapper

    def _require_writes(self) -> None:
        if self.read_only:
            pytest.skip(f"{type(self).__name__} says that its wrapper is read_only")
