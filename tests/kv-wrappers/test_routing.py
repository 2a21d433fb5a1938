"""RoutingWrapper and CollectionRoutingWrapper: selection of a store, and operations on all stores."""

from dataclasses import replace
from typing import Any

import pytest
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.errors import KeyValueOperationError, KeyValueStoreError, StoreConnectionError
from key_value.aio.protocols import (
    AsyncDestroyCollectionProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import FakeClock, StoreTests, WrapperTests
from key_value.aio.testing.inner_stores import CullStore, ForeignStore, FullStore, KeysStore, PlainStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, ExampleCall
from key_value.aio.wrappers.routing import CollectionRoutingWrapper, RoutingFunction, RoutingWrapper


class TestRoutingWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return RoutingWrapper(lambda _: None, store)


class TestRoutingWrapperWithoutADefault(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        wrapper = RoutingWrapper(lambda _: store, None)
        wrapper._find("known from now on")  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        return wrapper


class TestCollectionRoutingWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> AsyncKeyValue:
        return CollectionRoutingWrapper({"shelf": store}, store)


def by_first_letter() -> AsyncKeyValue:
    stores = [MemoryStore(), MemoryStore(), MemoryStore()]

    def route(collection: str | None) -> AsyncKeyValue | None:
        return None if collection is None or collection == "default_collection" else stores[ord(collection[0]) % 3]

    return RoutingWrapper(route, MemoryStore())


class TestSeveralStores(StoreTests[AsyncKeyValue]):
    example = by_first_letter()

    @pytest.fixture
    def store(self) -> AsyncKeyValue:
        return by_first_letter()


def test_several_stores_behave_like_a_dict() -> None:
    check_against_dict(by_first_letter)


def both(first: AsyncKeyValue, second: AsyncKeyValue, default: AsyncKeyValue | None) -> list[RoutingWrapper]:
    """Return a wrapper of each kind that routes "first" and "second" and has found all its stores."""
    stores = {"first": first, "second": second}

    def route(collection: str | None) -> AsyncKeyValue | None:
        return stores.get(collection or "")

    by_function = RoutingWrapper(routing_function=route, default_store=default)
    for name in stores:
        by_function._find(name)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
    return [by_function, CollectionRoutingWrapper(collection_map=stores, default_store=default)]


@pytest.mark.parametrize("kind", [0, 1])
async def test_a_collection_is_kept_in_its_store(kind: int) -> None:
    first, second, default = FullStore(), FullStore(), FullStore()
    store = both(first, second, default)[kind]
    await store.put("key", {"n": 1}, collection="first", ttl=50)
    await store.put_many(["key"], [{"n": 2}], collection="second")
    await store.put("key", {"n": 3}, collection="third")
    await store.put("key", {"n": 4})
    assert list(first.entries) == [("first", "key")]
    assert list(second.entries) == [("second", "key")]
    assert list(default.entries) == [("third", "key"), ("default_collection", "key")]
    assert await store.get("key", collection="first") == {"n": 1}
    assert await store.get_many(["key", "absent"], collection="second") == [{"n": 2}, None]
    assert await store.ttl("key") == ({"n": 4}, None)
    assert (await store.ttl_many(["key"], collection="first"))[0][0] == {"n": 1}
    assert await store.delete("key", collection="first") is True
    assert await store.delete_many(["key"], collection="second") == 1
    assert (first.entries, second.entries, len(default.entries)) == ({}, {}, 2)


@pytest.mark.parametrize("kind", [0, 1])
async def test_abilities_cover_all_stores(kind: int) -> None:
    first, second, default = FullStore(), FullStore(), FullStore()
    store: Any = both(first, second, default)[kind]
    for collection in ("first", "second", "third"):
        await store.put_many(["a", "b"], [{}, {}], collection=collection)
    assert sorted(await store.keys("second")) == ["a", "b"]
    assert sorted(await store.collections()) == ["first", "second", "third"]
    assert len(await store.collections(limit=2)) == 2
    assert await store.collections(limit=0) == []
    with pytest.raises(ValueError, match="limit"):
        await store.collections(limit=-1)
    assert await store.destroy_collection("first") is True
    assert [bool(one.entries) for one in (first, second, default)] == [False, True, True]
    assert await store.destroy() is True
    assert [bool(one.entries) for one in (first, second, default)] == [False, False, False]
    with FakeClock() as clock:
        for collection in ("first", "second", "third"):
            await store.put("key", {}, collection=collection, ttl=10)
        clock.advance(11)
        await store.cull()
    assert [bool(one.entries) for one in (first, second, default)] == [False, False, False]


async def test_a_collection_is_listed_only_from_the_store_it_is_routed_to() -> None:
    first, default = FullStore(), FullStore()
    await default.put("left behind", {}, collection="first")
    store: Any = CollectionRoutingWrapper({"first": first}, default)
    assert await store.collections() == []
    await store.put("key", {}, collection="first")
    assert await store.collections() == ["first"]


@pytest.mark.parametrize("kind", [0, 1])
@pytest.mark.parametrize("store_class", [PlainStore, KeysStore, CullStore])
def test_a_wrapper_has_an_ability_if_all_stores_have_it(store_class: type[PlainStore], kind: int) -> None:
    for stores in ((store_class(), FullStore(), FullStore()), (FullStore(), FullStore(), store_class())):
        store = both(*stores)[kind]
        for name in ("keys", "collections", "destroy", "destroy_collection", "cull"):
            assert hasattr(store, name) == hasattr(store_class, name)


async def test_a_newly_found_store_may_remove_an_ability() -> None:
    plain = PlainStore()
    store = RoutingWrapper(lambda collection: plain if collection == "plain" else None, FullStore())
    assert isinstance(store, AsyncDestroyCollectionProtocol)
    with pytest.raises(KeyValueStoreError, match=r"PlainStore.*DestroyCollection"):
        await store.destroy_collection("plain")
    assert not isinstance(store, AsyncDestroyCollectionProtocol)


async def test_no_ability_is_claimed_before_a_store_is_known() -> None:
    full = FullStore()
    store = RoutingWrapper(lambda _: full, default_store=None)
    assert not isinstance(store, AsyncEnumerateKeysProtocol)
    assert store.capabilities == Capabilities()
    await store.put("key", {})
    assert isinstance(store, AsyncEnumerateKeysProtocol)
    assert await store.keys() == ["key"]
    assert store.capabilities == full.capabilities


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_collection_without_a_store_raises_an_error(call: ExampleCall) -> None:
    routes: RoutingFunction = {"known": FullStore()}.get  # pyright: ignore[reportAssignmentType]
    for store in (RoutingWrapper(routes, None), CollectionRoutingWrapper({"known": FullStore()}, None)):
        await store.put("key", {}, collection="known")
        if call.collection is not None and call.name != "destroy_collection":
            with pytest.raises(KeyValueOperationError, match=r"no store for this collection.*'shelf'"):
                await call(store)
        elif call.name != "destroy_collection":
            await call(store)


async def test_every_store_is_opened_and_closed_once() -> None:
    stores = [PlainStore(), PlainStore(), PlainStore()]
    for store in both(stores[0], stores[1], stores[2]):
        async with store:
            pass
    assert [(one.opened, one.closed) for one in stores] == [(2, 2)] * 3
    shared = PlainStore()
    async with CollectionRoutingWrapper({"a": shared, "b": shared}, shared):
        pass
    assert (shared.opened, shared.closed) == (1, 1)


async def test_every_store_is_closed_when_closing_one_fails() -> None:
    class FailsToClose(PlainStore):
        async def _close(self) -> None:
            message = "the server is down"
            raise StoreConnectionError(message)

    stores = [PlainStore(), FailsToClose(), PlainStore()]
    store = CollectionRoutingWrapper({"a": stores[0], "b": stores[1]}, stores[2])
    await store.setup()
    with pytest.raises(StoreConnectionError):
        await store.close()
    assert [one.closed for one in stores] == [1, 0, 1]


def test_capabilities_are_those_common_to_all_stores() -> None:
    def having(**fields: Any) -> AsyncKeyValue:
        store = PlainStore()
        store.capabilities = replace(Capabilities(durable=True, native_expiry=True, expiry_resolution=1.0), **fields)
        return store

    first = having(max_key_bytes=10, atomic_put_many=True)
    second = having(durable=False, max_key_bytes=20, max_value_bytes=5, expiry_resolution=0.5, atomic_put_many=True)
    assert CollectionRoutingWrapper({"a": first}, second).capabilities == Capabilities(
        durable=False,
        native_expiry=True,
        expiry_resolution=1.0,
        max_key_bytes=10,
        max_value_bytes=5,
        atomic_put_many=True,
    )
    assert CollectionRoutingWrapper({"a": first}, PlainStore()).capabilities.expiry_resolution is None
    assert CollectionRoutingWrapper({"a": first}, ForeignStore()).capabilities.durable is False


async def test_a_function_that_returns_no_store_raises_a_type_error() -> None:
    async def route(_: str | None) -> None:
        pass

    results: list[Any] = []

    def remembered(collection: str | None) -> Any:
        results.append(route(collection))
        return results[-1]

    with pytest.raises(TypeError, match="not an object of type coroutine"):
        await RoutingWrapper(remembered, MemoryStore()).get("key")
    results[0].close()


@pytest.mark.parametrize(
    ("collection_map", "default_store"), [({}, None), ({"": MemoryStore()}, None), ({"a": None}, None), ({1: 2}, None)]
)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_an_invalid_map_raises_a_value_error(collection_map: Any, default_store: Any) -> None:
    with pytest.raises(ValueError, match=r"must map non-empty collections to stores|needs a default_store"):
        CollectionRoutingWrapper(collection_map, default_store)


@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_an_argument_that_is_not_a_function_raises_a_value_error() -> None:
    not_a_function: Any = {"a": MemoryStore()}
    with pytest.raises(ValueError, match="must be a function"):
        RoutingWrapper(not_a_function, MemoryStore())


async def test_a_class_is_no_store() -> None:
    no_store: Any = MemoryStore
    with pytest.raises(TypeError, match=r"^default_store must be a store, not the class MemoryStore"):
        RoutingWrapper(lambda _: None, no_store)
    with pytest.raises(ValueError, match="must map non-empty collections to stores"):
        CollectionRoutingWrapper({"a": no_store}, None)
    with pytest.raises(TypeError, match="routing_function must return a store or None"):
        await RoutingWrapper(lambda _: no_store, None).get("key")


async def test_the_map_is_copied() -> None:
    stores = {"a": MemoryStore()}
    store = CollectionRoutingWrapper(stores, MemoryStore())
    await store.put("key", {"n": 1}, collection="a")
    stores.clear()
    assert await store.get("key", collection="a") == {"n": 1}


def test_a_repr_shows_the_stores() -> None:
    store = CollectionRoutingWrapper({"a": PlainStore()}, MemoryStore())
    assert repr(store) == "CollectionRoutingWrapper(MemoryStore(), PlainStore())"
