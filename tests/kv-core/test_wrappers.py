"""Operations of the inner store that a wrapper exposes or hides."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import pytest
from key_value.aio.core.operations import OPERATIONS, Operation, add_operation, operations_of, remove_operation
from key_value.aio.core.wrappers import BaseCallWrapper, BaseNameWrapper, BaseValueWrapper, BaseWrapper, Call
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValue,
    AsyncLifecycleProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
    CapabilitiesProtocol,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.null import NullStore
from key_value.aio.stores.simple import SimpleStore

if TYPE_CHECKING:
    from collections.abc import Generator


@runtime_checkable
class RenameProtocol(Protocol):
    """A protocol unknown to all wrappers."""

    async def rename(self, key: str, new_key: str, *, collection: str | None = None) -> bool: ...


class RenamingStore(MemoryStore):
    async def rename(self, key: str, new_key: str, *, collection: str | None = None) -> bool:
        value = await self.get(key, collection=collection)
        if value is None:
            return False
        await self.put(new_key, value, collection=collection)
        return await self.delete(key, collection=collection)


class Around(BaseCallWrapper):
    """Records the calls that pass through it."""

    def __init__(self, key_value: Any) -> None:
        super().__init__(key_value)
        self.calls: list[Call[Any]] = []

    async def _around(self, call: Call[Any]) -> Any:
        self.calls.append(call)
        return await super()._around(call)


class Renaming(BaseNameWrapper):
    def _inner_key(self, key: str, collection: str | None) -> str:  # noqa: ARG002 — the same in all collections
        return f"inner-{key}"

    async def _rename(self, key: str, new_key: str, *, collection: str | None = None) -> bool:
        names = self._inner_key(key, collection), self._inner_key(new_key, collection)
        return await self._inner(RenameProtocol).rename(*names, collection=collection)


class OnlyGet:
    """An object that has only some of the eight methods."""

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return {"key": key, "collection": collection}


def names(store: object) -> set[str]:
    return {operation.name for operation in operations_of(store)}


@contextmanager
def known(**row: bool) -> Generator[None]:
    add_operation(Operation("rename", RenameProtocol, **row))
    try:
        yield
    finally:
        remove_operation("rename")


@pytest.mark.parametrize(
    ("wrapper", "row", "is_shown"),
    [
        (BaseWrapper, {}, True),
        (Around, {}, True),
        (BaseNameWrapper, {}, False),
        (BaseNameWrapper, {"names": False}, True),
        (BaseValueWrapper, {}, True),
        (BaseValueWrapper, {"values": True}, False),
        (BaseNameWrapper, {"names": False, "values": True}, True),
    ],
)
def test_an_operation_with_names_or_values_that_a_wrapper_changes_is_hidden(
    wrapper: type[BaseWrapper], row: dict[str, bool], is_shown: object
) -> None:
    with known(**row):
        assert isinstance(wrapper(RenamingStore()), RenameProtocol) is is_shown


async def test_an_operation_that_a_wrapper_maps_is_exposed_and_mapped() -> None:
    inner = RenamingStore()
    with known():
        store = Renaming(inner)
        assert isinstance(store, RenameProtocol)
        await store.put("old", {"n": 1})
        assert await store.rename("old", "new")
    assert await inner.keys() == ["inner-new"]


async def test_an_operation_that_is_passed_through_goes_through_around() -> None:
    with known():
        store: Any = Around(RenamingStore())
        await store.put("old", {"n": 1}, collection="shelf")
        assert await store.rename("old", new_key="new", collection="shelf")
    (_, call) = store.calls
    assert (call.name, call.collection) == ("rename", "shelf")


def test_an_operation_that_the_store_does_not_have_is_not_exposed() -> None:
    with known():
        assert not isinstance(BaseWrapper(MemoryStore()), RenameProtocol)


def test_adding_an_operation_twice_and_removing_a_built_in_one_are_refused() -> None:
    with known(), pytest.raises(ValueError, match="rename is already registered"):
        add_operation(Operation("rename", RenameProtocol))
    with pytest.raises(KeyError):
        remove_operation("scan")
    assert "rename" not in OPERATIONS


def test_the_operations_of_a_store_are_those_of_its_protocols() -> None:
    assert names(NullStore()) == set()
    assert names(SimpleStore()) == OPERATIONS.keys() - {"destroy_collection", "cull"} - set(dir(AsyncKeyValue))


def test_a_method_of_one_instance_is_not_attributed_to_its_class() -> None:
    class Plain(NullStore):
        pass

    async def cull() -> None:
        """Do nothing."""

    with_method: Any = Plain()
    with_method.cull = cull
    assert [names(store) for store in (with_method, Plain(), with_method)] == [{"cull"}, set(), {"cull"}]


def test_operations_set_on_instances_are_found_for_each_instance() -> None:
    class Proxy:
        def __init__(self, store: Any) -> None:
            for name in ("get", "ttl", "put", "delete", "get_many", "ttl_many", "put_many", "delete_many"):
                setattr(self, name, getattr(store, name))
            if isinstance(store, AsyncCullProtocol):
                self.cull = store.cull

    assert isinstance(BaseWrapper(Proxy(MemoryStore())), AsyncCullProtocol)  # pyright: ignore[reportArgumentType] — by its attributes
    assert not isinstance(BaseWrapper(Proxy(NullStore())), AsyncCullProtocol)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("wrapper", [BaseWrapper, Around, BaseNameWrapper, BaseValueWrapper])
@pytest.mark.parametrize(
    ("store", "named"),
    [
        (MemoryStore, "the class MemoryStore; create an object of it"),
        (3, "int"),
        ("redis://localhost", "str"),
        (object(), "object"),
    ],
)
def test_an_object_that_is_no_store_is_refused(wrapper: type[BaseWrapper], store: Any, named: str) -> None:
    with pytest.raises(TypeError, match=f"^key_value must be a store, not {named}$"):
        wrapper(store)
    wrapped = wrapper(MemoryStore())
    with pytest.raises(TypeError, match=f"^key_value must be a store, not {named}$"):
        wrapped.key_value = store
    assert isinstance(wrapped.key_value, MemoryStore)


async def test_an_object_with_some_methods_of_a_store_is_wrapped() -> None:
    store = Around(OnlyGet())
    assert await store.get("key") == {"key": "key", "collection": None}


@pytest.mark.parametrize("wrapper", [BaseWrapper, Around, BaseNameWrapper, BaseValueWrapper])
def test_a_wrapper_has_the_protocols_of_its_store(wrapper: type[BaseWrapper]) -> None:
    for protocol in (AsyncScanProtocol, AsyncVersionedProtocol, AsyncCullProtocol, AsyncEnumerateKeysProtocol):
        assert isinstance(wrapper(MemoryStore()), protocol)
        assert not isinstance(wrapper(NullStore()), protocol)
    assert isinstance(wrapper(NullStore()), AsyncLifecycleProtocol)
    assert isinstance(wrapper(NullStore()), CapabilitiesProtocol)


def test_replacing_the_inner_store_changes_the_exposed_operations() -> None:
    store = BaseWrapper(MemoryStore())
    store.key_value = NullStore()
    assert not isinstance(store, AsyncScanProtocol)
    store.key_value = MemoryStore()
    assert isinstance(store, AsyncScanProtocol)


def test_a_wrapper_looks_like_its_declared_class() -> None:
    store = Renaming(MemoryStore())
    assert isinstance(store, Renaming)
    assert (type(store).__name__, type(store).__doc__) == ("Renaming", Renaming.__doc__)
    assert repr(store) == "Renaming(MemoryStore())"
    assert type(store) is type(Renaming(MemoryStore()))


def test_a_dropped_wrapper_is_freed_at_once() -> None:
    gc.disable()
    try:
        wrapper = BaseNameWrapper(BaseValueWrapper(MemoryStore()))
        dropped = weakref.ref(wrapper)
        del wrapper
        assert dropped() is None
    finally:
        gc.enable()


async def test_a_deep_copy_has_its_own_inner_store_if_that_is_copied() -> None:
    class Held(SimpleStore):
        def __deepcopy__(self, memo: dict[int, Any]) -> Held:
            return Held()

    store: Any = BaseNameWrapper(Held())
    shallow, deep = copy.copy(store), copy.deepcopy(store)
    await store.put("key", {"n": 1})
    assert (await shallow.keys(), await deep.keys()) == (["key"], [])
    assert type(shallow) is type(deep) is type(store)


class PickledStore(NullStore):
    """A store that pickle can find."""

    def __reduce__(self) -> tuple[Any, ...]:
        return PickledStore, ()


class PickledWrapper(BaseNameWrapper):
    kind: ClassVar[str] = "a class that pickle can find"


def test_a_wrapper_can_be_pickled_if_its_store_can() -> None:
    loaded: Any = pickle.loads(pickle.dumps(PickledWrapper(PickledStore())))  # noqa: S301 — our own
    assert isinstance(loaded, PickledWrapper)
    assert isinstance(loaded.key_value, PickledStore)


async def test_a_call_can_be_made_on_any_store_and_any_number_of_times() -> None:
    call: Call[bool] = Call("put_if_absent", "key", {"n": 1}, collection="shelf")
    first, second = MemoryStore(), MemoryStore()
    assert [await call.on(store) for store in (first, second, first)] == [True, True, False]


async def test_calling_a_missing_operation_names_the_missing_protocol() -> None:
    with pytest.raises(KeyValueStoreError, match=r"NullStore\(\) does not satisfy AsyncScanProtocol"):
        await Call("scan").on(NullStore())


def test_a_call_returns_its_arguments_whether_positional_or_keyword() -> None:
    by_position: Call[Any] = Call("keys", "shelf", limit=5)
    by_name: Call[Any] = Call("keys", limit=5, collection="shelf")
    assert [call.collection for call in (by_position, by_name)] == ["shelf", "shelf"]
    assert [call.argument("limit") for call in (by_position, by_name)] == [5, 5]
    assert Call("get", "key").keys == ("key",)
    assert Call("get_many", ["a", "b"]).keys == ["a", "b"]
    assert (Call("destroy").keys, Call("destroy").collection) == ((), None)
    put: Call[Any] = Call("put", "key", {"a": "secret"})
    assert "secret" not in repr(put)


async def test_the_default_collection_is_visible_through_wrappers() -> None:
    assert BaseNameWrapper(BaseWrapper(MemoryStore(default_collection="shelf"))).default_collection == "shelf"
    assert BaseWrapper(OnlyGet()).default_collection is None  # pyright: ignore[reportArgumentType] — has no such attribute


async def test_a_name_wrapper_lists_only_its_own_keys() -> None:
    inner = MemoryStore()
    await inner.put_many(["inner-a", "inner-b", "other"], [{"n": 1}] * 3)

    class Half(Renaming):
        def _outer_key(self, inner_key: str, collection: str | None) -> str | None:  # noqa: ARG002
            return inner_key.removeprefix("inner-") if inner_key.startswith("inner-") else None

    store: Any = Half(inner)
    assert await store.scan() == (["a", "b"], None)
    assert await store.scan(prefix="b") == (["b"], None)
    assert await store.keys() == ["a", "b"]
    assert await store.keys(limit=1) == ["a"]
    assert await store.destroy_collection("default_collection")
    assert await inner.keys() == ["other"]


async def test_concurrent_wrappings_of_a_class_share_one_class() -> None:
    class Fresh(BaseWrapper):
        pass

    wrapped = await asyncio.gather(*(asyncio.to_thread(Fresh, MemoryStore()) for _ in range(20)))
    assert all(isinstance(store, AsyncScanProtocol) for store in wrapped)
