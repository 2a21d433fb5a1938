"""RoutingWrapper and CollectionRoutingWrapper: different stores for different collections."""

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, TypeVar

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.names import checked_name
from key_value.aio.core.operations import Operation, operations_of
from key_value.aio.core.type_checks import checked_limit, warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, BaseWrapper, Call
from key_value.aio.core.wrappers.base import checked_store, with_ability
from key_value.aio.errors import KeyValueOperationError
from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncKeyValue,
)

__all__ = ["CollectionRoutingWrapper", "RoutingFunction", "RoutingWrapper"]

RoutingFunction = Callable[[str | None], AsyncKeyValue | None]
"""Maps a collection (a valid name, or None) to its store, or to None for the default store."""

Ability = TypeVar("Ability")
R = TypeVar("R")


class RoutingWrapper(BaseCallWrapper):
    """Sends each operation to the store that `routing_function` returns for its collection.

    The function is called for every operation, so it must be fast, and return the same store object each time. Do not
    change the store of a collection that has entries: they are not moved. `collection=None` is passed to the function
    as None; return the same store for None and for the name of the default collection.

    The known stores are the default store and those that the function has returned so far. `setup`, `close`, `cull` and
    `destroy` act on all known stores, each as a whole. `collections` lists a collection only if it is found in the
    store to which it is routed. The wrapper has an optional operation or capability only if all known stores have it,
    so both may change when the function returns a new store.
    """

    @warn_types
    def __init__(self, routing_function: RoutingFunction, default_store: AsyncKeyValue | None) -> None:
        """`default_store` serves the collections for which the function returns None.

        Operations on a collection without a store raise KeyValueOperationError. Raises ValueError if `routing_function`
        is not callable.
        """
        if not callable(routing_function):
            message = "routing_function must be a function from a collection to a store or None"
            raise ValueError(message)  # noqa: TRY004 — like any invalid configuration
        super().__init__()
        self._routing_function = routing_function
        self._default_store = default_store
        self._stores: dict[int, AsyncKeyValue] = {}
        if default_store is not None:
            self._add_store(checked_store(default_store, "default_store"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "_stores": {}})
        for store in state["_stores"].values():
            self._add_store(store)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._stores.values()))})"

    @property
    def capabilities(self) -> Capabilities:
        inner = [BaseWrapper(store).capabilities for store in self._stores.values()]
        if len(inner) <= 1:
            return inner[0] if inner else Capabilities()
        return Capabilities(
            durable=all(one.durable for one in inner),
            native_expiry=all(one.native_expiry for one in inner),
            expiry_resolution=None
            if any(one.expiry_resolution is None for one in inner)
            else max(one.expiry_resolution or 0 for one in inner),
            max_key_bytes=min((one.max_key_bytes for one in inner if one.max_key_bytes is not None), default=None),
            max_value_bytes=min(
                (one.max_value_bytes for one in inner if one.max_value_bytes is not None), default=None
            ),
            atomic_put_many=all(one.atomic_put_many for one in inner),
            atomic_delete=all(one.atomic_delete for one in inner),
            conditional_writes=all(one.conditional_writes for one in inner),
        )

    async def setup(self) -> None:
        """Open the known stores now instead of at their first use."""
        for store in list(self._stores.values()):
            await BaseWrapper(store).setup()

    async def close(self) -> None:
        """Close every known store, even if one raises."""
        async with AsyncExitStack() as stack:
            for store in self._stores.values():
                stack.push_async_callback(BaseWrapper(store).close)

    async def _around(self, call: Call[R]) -> R:
        return await call.on(self._store(call.collection))

    @classmethod
    def _passes(cls, operation: Operation) -> bool:
        return "collection" in operation.parameters

    async def _collections(self, *, limit: int | None = None) -> list[str]:
        if checked_limit(limit) == 0:
            return []
        found: list[str] = []
        for store in list(self._stores.values()):
            names = await with_ability(store, AsyncEnumerateCollectionsProtocol).collections()
            found += [name for name in names if self._find(name) is store]
        return found[:limit]

    async def _destroy(self) -> bool:
        return all([await store.destroy() for store in self._each(AsyncDestroyStoreProtocol)])

    async def _cull(self) -> None:
        for store in self._each(AsyncCullProtocol):
            await store.cull()

    def _find(self, collection: str | None) -> AsyncKeyValue | None:
        if collection is not None:
            collection = checked_name(collection, "collection")
        store = self._routing_function(collection)
        if store is None:
            return self._default_store
        if id(store) not in self._stores:
            self._add_store(store)
        return store

    def _store(self, collection: str | None) -> AsyncKeyValue:
        store = self._find(collection)
        if store is None:
            message = f"{type(self).__name__} has no store for this collection, and no default_store"
            raise KeyValueOperationError(message, {"collection": collection})
        return store

    def _add_store(self, store: AsyncKeyValue) -> None:
        if not _is_store(store):
            message = f"routing_function must return a store or None, not an object of type {type(store).__qualname__}"
            raise TypeError(message)
        self._stores[id(store)] = store
        operations = operations_of(store)
        for known in self._stores.values():
            operations &= operations_of(known)
        self._show(operations)

    def _each(self, protocol: type[Ability]) -> list[Ability]:
        return [with_ability(store, protocol) for store in list(self._stores.values())]


class CollectionRoutingWrapper(RoutingWrapper):
    """Sends each operation to the store that `collection_map` has for its collection, or else to `default_store`.

    `collection=None` goes to `default_store`. All stores are known from the start, so optional protocols and
    capabilities never change.
    """

    @warn_types
    def __init__(self, collection_map: Mapping[str, AsyncKeyValue], default_store: AsyncKeyValue | None) -> None:
        """`collection_map` is copied. Without a `default_store`, other collections raise KeyValueOperationError.

        Raises ValueError if a collection is empty or is not mapped to a store, and if there is no store at all.
        """
        stores = dict(collection_map)
        if not all(isinstance(name, str) and name and _is_store(store) for name, store in stores.items()):  # pyright: ignore[reportUnnecessaryIsInstance] — `warn_types` only warns
            message = "collection_map must map non-empty collections to stores"
            raise ValueError(message)
        if default_store is None and not stores:
            message = "CollectionRoutingWrapper needs a default_store or a store in collection_map"
            raise ValueError(message)
        super().__init__(partial(_routed, stores), default_store)
        for store in stores.values():
            self._add_store(store)


def _routed(stores: Mapping[str, AsyncKeyValue], collection: str | None) -> AsyncKeyValue | None:
    return None if collection is None else stores.get(collection)


def _is_store(store: object) -> bool:
    # A class has the methods, too.
    return isinstance(store, AsyncKeyValue) and not isinstance(store, type)
