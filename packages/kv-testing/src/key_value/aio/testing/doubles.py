"""Stores for testing a framework: one that exposes race conditions, and one that fails or hangs on request."""

import asyncio
from collections.abc import Collection
from typing import Any, TypeVar

from key_value.aio.core.operations import OPERATIONS
from key_value.aio.core.wrappers import BaseCallWrapper, Call
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["FaultyStore", "YieldingStore"]

R = TypeVar("R")


class YieldingStore(BaseCallWrapper):
    """Lets other tasks run before and after every call, like any store on a network.

    A memory store never yields to other tasks, so a race condition between `get` and `put`, such as a lost update of a
    counter, never shows there.
    """

    async def _around(self, call: Call[R]) -> R:
        await asyncio.sleep(0)
        try:
            return await super()._around(call)
        finally:
            await asyncio.sleep(0)


class FaultyStore(BaseCallWrapper):
    """Passes calls to the inner store until it is told to fail or hang."""

    def __init__(self, key_value: AsyncKeyValue) -> None:
        super().__init__(key_value)
        self._hanging: asyncio.Event | None = None
        self._error: Exception | None = None
        self._operations: frozenset[str] = frozenset()
        self._times: int | None = None
        self._after = False

    def fail(
        self, error: Exception, *, operations: Collection[str] = (), times: int | None = None, after: bool = False
    ) -> None:
        """Raise the error in every call, or in the next `times` calls, of the given operations (default: all).

        With `after`, the call takes effect before it raises, like a write with a lost reply. Raises ValueError for an
        unknown operation.
        """
        checked = _checked(operations)
        self.recover()
        self._error, self._operations, self._times, self._after = error, checked, times, after

    def hang(self, *, operations: Collection[str] = ()) -> None:
        """Make calls of the given operations (default: all) wait until they are cancelled or `recover` is called."""
        checked = _checked(operations)
        self.recover()
        self._hanging, self._operations = asyncio.Event(), checked

    def recover(self) -> None:
        """End the fault; hanging calls continue."""
        if self._hanging is not None:
            self._hanging.set()
        self._hanging, self._error, self._times, self._after = None, None, None, False

    async def setup(self) -> None:
        await self._fault("setup")
        await super().setup()

    async def _around(self, call: Call[R]) -> R:
        if not self._after:
            await self._fault(call.name)
            return await super()._around(call)
        result: Any = await super()._around(call)
        await self._fault(call.name)
        return result

    async def _fault(self, operation: str) -> None:
        if self._operations and operation not in self._operations:
            return
        if self._hanging is not None:
            await self._hanging.wait()
        elif self._error is not None and self._times != 0:
            self._times = None if self._times is None else self._times - 1
            raise self._error


def _checked(operations: Collection[str]) -> frozenset[str]:
    unknown = set(operations) - OPERATIONS.keys() - {"setup"}
    if unknown or isinstance(operations, str):
        message = f"operations must be a list of names such as 'get', not {operations!r}"
        raise ValueError(message)
    return frozenset(operations)
