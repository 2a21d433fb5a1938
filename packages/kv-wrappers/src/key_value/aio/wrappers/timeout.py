"""TimeoutWrapper: cancels calls that take too long."""

import sys
from asyncio import CancelledError, current_task, get_running_loop
from collections.abc import Coroutine, Generator, Mapping
from math import inf
from types import coroutine
from typing import Any, SupportsFloat, TypeVar

from key_value.aio.core.numbers import checked_seconds
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, BaseWrapper, Call
from key_value.aio.errors import StoreTimeoutError
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["TimeoutWrapper"]

R = TypeVar("R")

# Ten years: not every event loop accepts an infinite timer.
_MAX_TIMER_SECONDS = 3e8


class TimeoutWrapper(BaseCallWrapper):
    """Cancels a call after `timeout` seconds, waits for it to end, and raises StoreTimeoutError.

    StoreTimeoutError is a StoreConnectionError and a TimeoutError; it is unknown whether a write took effect. The time
    covers a whole call, single or batch, including the opening of the store at the first call; `setup` and `close` are
    not limited. A TimeoutError of the inner store is passed on unchanged.
    """

    @warn_types
    def __init__(self, key_value: AsyncKeyValue, timeout: float | None = 5.0) -> None:
        """`timeout` is in seconds; None and infinity mean no limit. Raises ValueError unless it is above zero."""
        super().__init__(key_value)
        self.timeout: float = inf if timeout in (None, inf) else checked_seconds(timeout, "timeout")

    async def _around(self, call: Call[R]) -> R:
        return await _within(self.timeout, call.name, super()._around(call))

    # `get` and `put` are written out: 0.7 µs instead of 1.8 µs through BaseCallWrapper.

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        return await _within(self.timeout, "get", BaseWrapper.get(self, key, collection=collection))

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        return await _within(self.timeout, "put", BaseWrapper.put(self, key, value, collection=collection, ttl=ttl))


@coroutine
def _within(seconds: float, method: str, call: Coroutine[Any, Any, R]) -> Generator[Any, Any, R]:
    """Run the call in the current task, and cancel the task after `seconds`.

    The timer starts when the call first suspends, so a call that never does, such as on a memory store, needs no timer.
    Then this delegates like `yield from`.
    """
    try:
        awaited = call.send(None)
    except StopIteration as done:
        return done.value
    with _Deadline(seconds, method):
        try:
            while True:
                try:
                    sent = yield awaited
                except BaseException as exc:  # noqa: BLE001, PERF203 — thrown in by the task, for the call
                    awaited = call.throw(exc)
                else:
                    awaited = call.send(sent)
        except StopIteration as done:
            return done.value


class _Deadline:
    """Cancels the task after `seconds`, and turns this cancellation, and no other, into StoreTimeoutError."""

    def __init__(self, seconds: float, method: str) -> None:
        self._seconds = seconds
        self._method = method
        self._expired = False

    def __enter__(self) -> None:
        self._timer = get_running_loop().call_later(min(self._seconds, _MAX_TIMER_SECONDS), self._expire)
        task = current_task()
        assert task is not None  # noqa: S101 — the call runs in a task
        self._task = task
        # Python 3.10 does not count cancellations: there, a cancellation by others after the deadline counts as ours.
        self._cancellations = task.cancelling() if sys.version_info >= (3, 11) else 0

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._timer.cancel()
        if not self._expired:
            return
        cancellations = self._task.uncancel() if sys.version_info >= (3, 11) else 0
        if kind is CancelledError and cancellations <= self._cancellations:
            message = f"{self._method} did not end within {self._seconds:g} seconds"
            raise StoreTimeoutError(message) from error
