"""ReadOnlyWrapper: access to a store without writes."""

from typing import TypeVar, cast

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, BaseWrapper, Call
from key_value.aio.errors import ReadOnlyError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["ReadOnlyWrapper"]

R = TypeVar("R")

_RESULTS_WITHOUT_EFFECT = {
    "delete": False,
    "delete_many": 0,
    "destroy": False,
    "destroy_collection": False,
    "put_if_absent": False,
    "put_if_version": False,
    "delete_if_version": False,
}


class ReadOnlyWrapper(BaseCallWrapper):
    """Passes reads to the inner store and rejects every write, without checking its arguments.

    A write raises ReadOnlyError. With `raise_on_write=False` it does nothing, and returns None, False or 0. `setup` and
    `close` are passed to the inner store.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue, raise_on_write: bool = True) -> None:  # noqa: FBT001, FBT002 — positional before
        super().__init__(key_value)
        self.raise_on_write = raise_on_write

    # Bypass `_around`: 0.2 µs instead of 1.0 µs.
    get = BaseWrapper.get
    ttl = BaseWrapper.ttl
    get_many = BaseWrapper.get_many
    ttl_many = BaseWrapper.ttl_many

    async def _around(self, call: Call[R]) -> R:
        if not call.operation.writes:
            return await call.on(self.key_value)
        if self.raise_on_write:
            raise ReadOnlyError(call.name, call.collection, call.argument("key"))
        return cast("R", _RESULTS_WITHOUT_EFFECT.get(call.name))
