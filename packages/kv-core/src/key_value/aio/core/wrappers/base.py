"""The base of all wrappers: forwards every operation, but hides those that it cannot forward safely."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, wraps
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat, TypeVar, cast

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.operations import Operation, operations_of
from key_value.aio.core.wrappers.call import Call
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncKeyValue

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseWrapper", "checked_store", "with_ability"]

P = TypeVar("P")
R = TypeVar("R")


class BaseWrapper(AsyncKeyValue):
    """A store that wraps an inner store, `key_value`, which is any object with the eight methods.

    The wrapper offers an optional operation of the inner store if it implements it, in a method of the same name with a
    leading underscore (`_keys` for `keys`), or if the operation involves nothing that the wrapper changes; it then
    forwards the operation through `_around`. All others are hidden, and `isinstance` with their protocol returns False,
    so that an unknown operation cannot bypass a tenant's prefix or store plain text. Lifecycle, capabilities and
    default collection are those of the inner store.
    """

    changes: ClassVar[frozenset[str]] = frozenset()
    """The parts of a call that the wrapper changes: "names", "values" or both, as in the fields of Operation."""

    key_value: AsyncKeyValue

    def __init__(self, key_value: AsyncKeyValue | None = None) -> None:
        """Wrap the store. A subclass may instead set `key_value` itself, before or after this call.

        Raises TypeError for a class, and for an object without the methods of a store.
        """
        if key_value is not None:
            self.key_value = key_value

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "key_value":
            checked_store(value, name)
        super().__setattr__(name, value)
        if name == "key_value":
            self._show(operations_of(value))

    def _show(self, operations: frozenset[Operation]) -> None:
        """Offer these optional operations, except those that the wrapper must hide."""
        self.__class__ = self._with_operations(operations)

    @classmethod
    @cache
    def _with_operations(cls, operations: frozenset[Operation]) -> "type[Self]":
        """Return the subclass that has the public methods of the operations."""
        written: type[Self] = vars(cls).get("_written_class", cls)
        if written is not cls:
            return written._with_operations(operations)  # noqa: SLF001 — same class
        methods = {operation.name: cls._method(operation) for operation in operations}
        members: dict[str, Any] = {name: method for name, method in methods.items() if method is not None}
        for name in ("__doc__", "__module__", "__qualname__"):
            members[name] = getattr(cls, name)
        return cast("type[Self]", type(cls.__name__, (cls,), {**members, "__slots__": (), "_written_class": cls}))

    @classmethod
    def _method(cls, operation: Operation) -> Callable[..., Any] | None:
        """Return the public method of the operation, or None to hide it."""
        implemented = getattr(cls, f"_{operation.name}", None)
        if implemented is not None or not cls._passes(operation):
            return implemented

        @wraps(getattr(operation.protocol, operation.name))
        async def method(self: BaseWrapper, *arguments: Any, **options: Any) -> Any:
            return await self._around(Call(operation.name, *arguments, **options))

        return method

    @classmethod
    def _passes(cls, operation: Operation) -> bool:
        """Return whether an operation that the wrapper does not implement can be forwarded."""
        return not (operation.names and "names" in cls.changes) and not (operation.values and "values" in cls.changes)

    def _inner(self, protocol: type[P]) -> P:
        """Return the inner store, typed as the protocol. Raises KeyValueStoreError if it does not satisfy it."""
        return with_ability(self.key_value, protocol)

    async def _around(self, call: Call[R]) -> R:
        """Make the call on the inner store and return its result. An override may make the call repeatedly."""
        return await call.on(self.key_value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r})"

    # Pickle the class as written, because it can be imported. Setting `key_value` adds the optional operations again.
    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        kind = type(self)
        return object.__new__, (vars(kind).get("_written_class", kind),), vars(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    @property
    def capabilities(self) -> Capabilities:
        return getattr(self.key_value, "capabilities", Capabilities())

    @property
    def default_collection(self) -> str | None:
        """The collection used for `collection=None`; None if the inner store has no such attribute."""
        return getattr(self.key_value, "default_collection", None)

    # Lifecycle

    async def setup(self) -> None:
        """Open the inner store and verify that it works."""
        setup = getattr(self.key_value, "setup", None)
        if setup is not None:
            await setup()

    async def close(self) -> None:
        """Close the inner store."""
        close = getattr(self.key_value, "close", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> "Self":
        await self.setup()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # The eight methods

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await self.key_value.get(key, collection=collection)

    async def ttl(self, key: str, *, collection: str | None = None) -> tuple[dict[str, Any] | None, float | None]:
        return await self.key_value.ttl(key, collection=collection)

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put(key, value, collection=collection, ttl=ttl)

    async def delete(self, key: str, *, collection: str | None = None) -> bool:
        return await self.key_value.delete(key, collection=collection)

    async def get_many(self, keys: Sequence[str], *, collection: str | None = None) -> list[dict[str, Any] | None]:
        return await self.key_value.get_many(keys, collection=collection)

    async def ttl_many(
        self, keys: Sequence[str], *, collection: str | None = None
    ) -> list[tuple[dict[str, Any] | None, float | None]]:
        return await self.key_value.ttl_many(keys, collection=collection)

    async def put_many(
        self,
        keys: Sequence[str],
        values: Sequence[Mapping[str, Any]],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await self.key_value.put_many(keys, values, collection=collection, ttl=ttl)

    async def delete_many(self, keys: Sequence[str], *, collection: str | None = None) -> int:
        return await self.key_value.delete_many(keys, collection=collection)


def checked_store(store: Any, name: str) -> AsyncKeyValue:
    """Return the store. Raises TypeError for a class, and for an object without the methods of a store.

    Only `get` is looked up, so that an object that has some of the eight methods, or creates them on demand, can be
    wrapped.
    """
    if isinstance(store, type):
        message = f"{name} must be a store, not the class {store.__qualname__}; create an object of it"
        raise TypeError(message)
    if not callable(getattr(store, "get", None)):
        message = f"{name} must be a store, not {'None' if store is None else type(store).__qualname__}"
        raise TypeError(message)
    return store


def with_ability(store: AsyncKeyValue, protocol: type[P]) -> P:
    """Return the store, typed as the protocol. Raises KeyValueStoreError if it does not satisfy it."""
    if not isinstance(store, protocol):
        message = f"{store!r} does not satisfy {protocol.__name__}"
        raise KeyValueStoreError(message)
    return store
