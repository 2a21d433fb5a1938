"""One example call of every operation of a store."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple

from key_value.aio.core.marks import marked
from key_value.aio.core.operations import OPERATIONS, Operation
from key_value.aio.core.wrappers import Call
from key_value.aio.protocols import AsyncKeyValueProtocol

__all__ = [
    "EVERY_CALL",
    "EVERY_READ",
    "EVERY_WRITE",
    "LISTINGS",
    "READS",
    "REMOVALS",
    "WRITES",
    "ExampleCall",
    "calls_with",
]


class ExampleCall(NamedTuple):
    """A call for a store that is empty or has the keys "key" and "other" in the collection "shelf"."""

    name: str
    arguments: Sequence[Any] = ()
    collection: str | None = "shelf"

    async def prepared(self, store: Any) -> Callable[[Any], Awaitable[Any]]:
        """Return the call, with the current version of the entry if it takes a version."""
        if not self._takes_version:
            return self
        return self._with((await store.get_versioned("key", collection=self.collection)).version)

    def __call__(self, store: Any) -> Awaitable[Any]:
        """Make the call; if it takes a version, pass a well-formed version that does not match."""
        call = self._with(marked("none", "shelf", "key")) if self._takes_version else self._with()
        return call(store)

    @property
    def _takes_version(self) -> bool:
        return "version" in OPERATIONS[self.name].parameters

    def _with(self, *version: str | None) -> Callable[[Any], Awaitable[Any]]:
        options = {} if self.collection is None else {"collection": self.collection}
        return Call[Any](self.name, *self.arguments, *version, **options).on


def calls_with(value: Mapping[str, Any]) -> dict[str, ExampleCall]:
    """Return an example call for each operation, by name. Calls that write a value write this one."""
    keys = ["key", "other"]
    examples = [
        ExampleCall("get", ["key"]),
        ExampleCall("ttl", ["key"]),
        ExampleCall("put", ["key", value]),
        ExampleCall("delete", ["key"]),
        ExampleCall("get_many", [keys]),
        ExampleCall("ttl_many", [keys]),
        ExampleCall("put_many", [keys, [value, value]]),
        ExampleCall("delete_many", [keys]),
        ExampleCall("keys"),
        ExampleCall("scan"),
        ExampleCall("collections", collection=None),
        ExampleCall("destroy", collection=None),
        ExampleCall("destroy_collection"),
        ExampleCall("cull", collection=None),
        ExampleCall("put_if_absent", ["key", value]),
        ExampleCall("get_versioned", ["key"]),
        ExampleCall("put_if_version", ["key", value]),
        ExampleCall("delete_if_version", ["key"]),
    ]
    return {call.name: call for call in examples}


EVERY_CALL = calls_with({"a": 2})


def _examples_where(is_included: Callable[[Operation], bool]) -> dict[str, ExampleCall]:
    return {name: call for name, call in EVERY_CALL.items() if is_included(OPERATIONS[name])}


def _is_required(operation: Operation) -> bool:
    return operation.protocol is AsyncKeyValueProtocol


EVERY_READ = _examples_where(lambda operation: not operation.writes)
EVERY_WRITE = _examples_where(lambda operation: operation.writes)

READS = _examples_where(lambda operation: _is_required(operation) and not operation.writes)
WRITES = _examples_where(lambda operation: _is_required(operation) and operation.writes)
"""The calls of the eight methods."""

LISTINGS = _examples_where(lambda operation: not _is_required(operation) and not operation.writes)
REMOVALS = _examples_where(lambda operation: not _is_required(operation) and operation.writes and not operation.values)
"""The calls of the optional protocols."""
