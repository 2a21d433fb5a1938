"""The list of a store's operations, on which wrappers and the conformance kit are based."""

from functools import cache
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from key_value.aio.protocols import (
    AsyncCullProtocol,
    AsyncDestroyCollectionProtocol,
    AsyncDestroyStoreProtocol,
    AsyncEnumerateCollectionsProtocol,
    AsyncEnumerateKeysProtocol,
    AsyncKeyValueProtocol,
    AsyncPutIfAbsentProtocol,
    AsyncScanProtocol,
    AsyncVersionedProtocol,
)

__all__ = ["OPERATIONS", "Operation", "add_operation", "operations_of", "remove_operation"]


class Operation(NamedTuple):
    """A public method of a store, with the properties that a wrapper needs to forward it correctly."""

    name: str
    protocol: type[Any]
    names: bool = True
    """It takes or returns keys or collections."""
    values: bool = False
    """It takes or returns values or a ttl."""
    writes: bool = False
    """It changes stored data: a read-only wrapper refuses it, a fallback wrapper sends it only to the primary store."""
    repeatable: bool = True
    """It can be repeated if its outcome is unknown."""
    portable: bool = True
    """Its result is valid for any store with the same entries. A version or cursor is valid only for its own store."""

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the method's parameters, in order."""
        return _parameters(self.protocol, self.name)


_REQUIRED = (
    Operation("get", AsyncKeyValueProtocol, values=True),
    Operation("ttl", AsyncKeyValueProtocol, values=True),
    Operation("put", AsyncKeyValueProtocol, values=True, writes=True),
    Operation("delete", AsyncKeyValueProtocol, writes=True),
    Operation("get_many", AsyncKeyValueProtocol, values=True),
    Operation("ttl_many", AsyncKeyValueProtocol, values=True),
    Operation("put_many", AsyncKeyValueProtocol, values=True, writes=True),
    Operation("delete_many", AsyncKeyValueProtocol, writes=True),
)

_OPTIONAL = (
    Operation("keys", AsyncEnumerateKeysProtocol),
    Operation("scan", AsyncScanProtocol, portable=False),
    Operation("collections", AsyncEnumerateCollectionsProtocol),
    Operation("destroy", AsyncDestroyStoreProtocol, writes=True),
    Operation("destroy_collection", AsyncDestroyCollectionProtocol, writes=True),
    Operation("cull", AsyncCullProtocol, names=False, writes=True),
    Operation("put_if_absent", AsyncPutIfAbsentProtocol, values=True, writes=True, repeatable=False),
    Operation("get_versioned", AsyncVersionedProtocol, values=True, portable=False),
    Operation("put_if_version", AsyncVersionedProtocol, values=True, writes=True, repeatable=False),
    Operation("delete_if_version", AsyncVersionedProtocol, writes=True, repeatable=False),
)

OPERATIONS: dict[str, Operation] = {operation.name: operation for operation in (*_REQUIRED, *_OPTIONAL)}
"""Name → operation: the eight methods of every store, then those of the optional protocols."""

_optional = {operation.name: operation for operation in _OPTIONAL}

# Checking a class for ten protocols takes 20 to 70 µs.
_cached: WeakKeyDictionary[type[Any], frozenset[Operation]] = WeakKeyDictionary()


def add_operation(operation: Operation) -> None:
    """Register the method of another optional protocol. Call it before wrapping the first store that has it.

    Every wrapper forwards or hides it, depending on its fields. Raises ValueError if the name is already registered.
    """
    if operation.name in OPERATIONS:
        message = f"the operation {operation.name} is already registered"
        raise ValueError(message)
    OPERATIONS[operation.name] = _optional[operation.name] = operation
    _cached.clear()


def remove_operation(name: str) -> None:
    """Undo `add_operation`. Raises KeyError for a name that it has not registered."""
    if any(operation.name == name for operation in (*_REQUIRED, *_OPTIONAL)):
        raise KeyError(name)
    del OPERATIONS[name], _optional[name]
    _cached.clear()


def operations_of(store: object) -> frozenset[Operation]:
    """Return the optional operations of the store: those whose protocol it satisfies."""
    kind = type(store)
    operations = _cached.get(kind)
    if operations is None or not _optional.keys().isdisjoint(getattr(store, "__dict__", ())):
        operations = frozenset(operation for operation in _optional.values() if isinstance(store, operation.protocol))
        # Cache by class only if no operation is specific to the object, assigned to it or created by __getattr__.
        if not hasattr(kind, "__getattr__") and all(hasattr(kind, operation.name) for operation in operations):
            _cached[kind] = operations
    return operations


@cache
def _parameters(protocol: type[Any], name: str) -> tuple[str, ...]:
    from inspect import signature

    return tuple(signature(getattr(protocol, name)).parameters)[1:]
