"""RetryWrapper: retries calls after temporary failures."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from logging import Logger, getLogger
from random import random
from typing import Any, SupportsFloat, TypeVar

from key_value.aio.core.numbers import checked_count, checked_number
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, Call
from key_value.aio.core.wrappers.exceptions import checked_exceptions
from key_value.aio.protocols import AsyncKeyValue

__all__ = ["RetryWrapper"]

R = TypeVar("R")

logger: Logger = getLogger(__name__)


class RetryWrapper(BaseCallWrapper):
    """Retries a call up to `max_retries` times if it raises one of `retry_on`, and raises the last error.

    The delay before the n-th retry is random, between 0 and `initial_delay * exponential_base ** (n - 1)` seconds, at
    most `max_delay`, so that clients that failed together do not retry together. By default the errors that a retry may
    cure are retried: StoreConnectionError is a ConnectionError, and StoreTimeoutError is a TimeoutError. A cancellation
    takes effect at once, even during a delay. `setup` is retried too. Each retry is logged as a warning with the class
    of the error.

    A conditional write, such as `put_if_absent`, is never retried: if the first attempt took effect, the second would
    report a conflict with another writer.

    A failed attempt may have taken effect. Therefore after a retry, `delete` and `destroy_collection` may return False,
    and `delete_many` too small a number, for entries that the same call removed. A `put` may replace a value that
    another client put in the meantime, and its ttl counts from the last attempt.
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
        """Delays are in seconds. `retry_on` is an exception class or a tuple of them.

        Raises ValueError for a number that is negative or not finite, and if `retry_on` contains anything else.
        """
        super().__init__(key_value)
        self.max_retries: int = checked_count(max_retries, "max_retries")
        self.initial_delay: float = checked_number(initial_delay, "initial_delay", unit="seconds")
        self.max_delay: float = checked_number(max_delay, "max_delay", unit="seconds")
        self.exponential_base: float = checked_number(exponential_base, "exponential_base")
        self.retry_on: tuple[type[Exception], ...] = checked_exceptions(retry_on, "retry_on")

    async def setup(self) -> None:
        await self._with_retries("setup", super().setup)

    async def _around(self, call: Call[R]) -> R:
        if not call.operation.repeatable:
            return await call.on(self.key_value)
        return await self._with_retries(call.name, partial(call.on, self.key_value))

    # `get` and `put` are written out: 0.1 µs instead of 1.1 µs through `_around`.

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        try:
            return await self.key_value.get(key, collection=collection)
        except self.retry_on as exc:
            if not self.max_retries:
                raise
            error = exc
        return await self._retry("get", partial(self.key_value.get, key, collection=collection), error)

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
        except self.retry_on as exc:
            if not self.max_retries:
                raise
            error = exc
        return await self._retry("put", partial(self.key_value.put, key, value, collection=collection, ttl=ttl), error)

    async def _with_retries(self, name: str, operation: Callable[[], Awaitable[R]]) -> R:
        try:
            return await operation()
        except self.retry_on as exc:
            if not self.max_retries:
                raise
            error = exc
        return await self._retry(name, operation, error)

    async def _retry(self, name: str, operation: Callable[[], Awaitable[R]], error: Exception) -> R:
        """Repeat the operation, which failed with `error`, until it succeeds or `max_retries` is reached."""
        from asyncio import sleep

        delay_bound = min(self.initial_delay, self.max_delay)
        for attempt in range(1, self.max_retries + 1):
            # A driver's message may contain secrets, so only its type is logged.
            logger.warning("retry %d of %d of %s after %s", attempt, self.max_retries, name, type(error).__name__)
            await sleep(delay_bound * random())  # noqa: S311 — not for security
            try:
                return await operation()
            except self.retry_on as exc:
                if attempt == self.max_retries:
                    raise
                error = exc
                delay_bound = min(delay_bound * self.exponential_base, self.max_delay)
        raise error
