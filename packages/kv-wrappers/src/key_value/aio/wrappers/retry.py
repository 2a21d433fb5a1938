"""RetryWrapper: calls that failed for a reason that passes are made again."""

import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from random import random
from typing import Any, SupportsFloat, TypeVar, cast

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, Call
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["RetryWrapper"]

R = TypeVar("R")


class RetryWrapper(BaseCallWrapper):
    """Makes a call again, up to `max_retries` times, when it raises one of `retry_on`; raises the last error.

    The n-th retry follows after a random part of `initial_delay * exponential_base ** (n - 1)` seconds, or of
    `max_delay` where that is less, so that clients which failed together do not come back together. By default what
    says that trying again may help is retried: StoreConnectionError and StoreTimeoutError, which are a ConnectionError
    and a TimeoutError. A cancellation passes at once, also during a delay. `setup` is retried too.

    An attempt that failed may have taken effect all the same. So after a retry `delete` and `destroy_collection` may
    answer False and `delete_many` too few for what this very call removed; a `put` may replace what another client put
    in the meantime; and its ttl counts from the last attempt.
    """

    @warn_types
    def __init__(  # noqa: PLR0917 — positional in earlier versions too
        self,
        key_value: AsyncKeyValue,
        max_retries: int = 3,
        initial_delay: float = 0.1,
        max_delay: float = 10.0,
        exponential_base: float = 2.0,
        retry_on: tuple[type[Exception], ...] = (ConnectionError, TimeoutError),
    ) -> None:
        """Raises ValueError for a number outside what each allows, and for a `retry_on` that names no exception."""
        if not _is_number(max_retries, int) or max_retries < 0:
            message = f"max_retries must be a whole number of at least 0, not {max_retries!r}"
            raise ValueError(message)
        for name, delay in (("initial_delay", initial_delay), ("max_delay", max_delay)):
            if not _is_number(delay) or delay < 0:
                message = f"{name} must be a finite number of seconds of at least 0, not {delay!r}"
                raise ValueError(message)
        if max_delay < initial_delay:
            message = f"max_delay must be at least initial_delay, which is {initial_delay!r}, not {max_delay!r}"
            raise ValueError(message)
        if not _is_number(exponential_base) or exponential_base < 1:
            message = f"exponential_base must be a finite number of at least 1, not {exponential_base!r}"
            raise ValueError(message)
        super().__init__(key_value)
        self.max_retries = max_retries
        self.initial_delay = initial_delay
        self.max_delay = max_delay
        self.exponential_base = exponential_base
        self.retry_on = _exceptions(retry_on)

    async def setup(self) -> None:
        await self._around(Call("setup"), super().setup)

    async def _around(self, call: Call, operation: Callable[[], Awaitable[R]]) -> R:
        del call
        try:
            return await operation()
        except self.retry_on:
            if not self.max_retries:
                raise
        return await self._again(operation)

    # Written out, these cost 0.1 µs instead of 1.1.

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await self.key_value.get(key, collection=collection)
        except self.retry_on:
            if not self.max_retries:
                raise
        return await self._again(partial(self.key_value.get, key, collection=collection))

    async def put(
        self,
        key: str,
        value: Mapping[str, Any],
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> None:
        try:
            return await self.key_value.put(key, value, collection=collection, ttl=ttl)
        except self.retry_on:
            if not self.max_retries:
                raise
        return await self._again(partial(self.key_value.put, key, value, collection=collection, ttl=ttl))

    async def _again(self, operation: Callable[[], Awaitable[R]]) -> R:
        """Run the operation until it succeeds or has been retried often enough, at least once."""
        from asyncio import sleep

        longest = self.initial_delay
        for _ in range(self.max_retries - 1):
            await sleep(longest * random())  # noqa: S311 — no secret
            try:
                return await operation()
            except self.retry_on:
                longest = min(longest * self.exponential_base, self.max_delay)
        await sleep(longest * random())  # noqa: S311
        return await operation()


def _is_number(number: object, *kinds: type[int | float]) -> bool:
    """Whether it is one of the kinds, all by default, and finite."""
    is_number = isinstance(number, kinds or (int, float)) and not isinstance(number, bool)
    return is_number and abs(cast("float", number)) <= sys.float_info.max


def _exceptions(retry_on: object) -> tuple[type[Exception], ...]:
    kinds = tuple(cast("Iterable[object]", retry_on)) if isinstance(retry_on, Iterable) else (retry_on,)
    if not kinds or not all(isinstance(kind, type) and issubclass(kind, Exception) for kind in kinds):
        message = "retry_on must be one or more classes of exceptions; a cancellation is none and is never retried"
        raise ValueError(message)
    if sys.version_info < (3, 11) and TimeoutError in kinds:
        from asyncio import TimeoutError as AsyncioTimeoutError  # the builtin one since Python 3.11

        kinds = (*kinds, AsyncioTimeoutError)
    return cast("tuple[type[Exception], ...]", kinds)
