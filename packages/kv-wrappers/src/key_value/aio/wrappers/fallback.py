"""FallbackWrapper: a second store for failures of the first."""

from contextlib import AsyncExitStack
from logging import Logger, getLogger
from typing import Any, TypeVar

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, BaseWrapper, Call
from key_value.aio.core.wrappers.exceptions import checked_exceptions
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncKeyValue, AsyncKeyValueProtocol

__all__ = ["FallbackWrapper"]

R = TypeVar("R")

logger: Logger = getLogger(__name__)


class FallbackWrapper(BaseCallWrapper):
    """Asks the fallback store when the primary raises one of `fallback_on`, but never after a cancellation.

    Reads fall back: `get`, `ttl`, their batches as a whole, and `keys` and `collections` if the fallback has them.
    `scan` and `get_versioned` do not, because cursors and versions are useless to another store. The fallback's result
    or exception is the outcome, and a warning is logged. An absent entry is a result and does not fall back.

    Writes raise, unless `write_to_fallback` is set: then a put or delete that fails in the primary goes to the
    fallback. Conditional writes, `destroy`, `destroy_collection` and `cull` go only to the primary. Optional protocols
    and capabilities are the primary's too.

    Nothing copies entries from one store to the other. While the primary fails, reads return the fallback's entries,
    which may be older or absent. When it is back, they return the primary's, and hide writes to the fallback in the
    meantime. A write that timed out may be in both.
    """

    @warn_types
    def __init__(
        self,
        primary_key_value: AsyncKeyValue,
        fallback_key_value: AsyncKeyValue,
        fallback_on: tuple[type[Exception], ...] = (KeyValueStoreError, ConnectionError, TimeoutError),
        write_to_fallback: bool = False,  # noqa: FBT001, FBT002 — as it was
    ) -> None:
        """`fallback_on` is one or several classes of exceptions; by default, the errors of a failing store.

        The default excludes wrong arguments, values that cannot be serialized and programming errors. Raises ValueError
        for anything but classes of exceptions.
        """
        super().__init__(primary_key_value)
        self.fallback_key_value = fallback_key_value
        self.fallback_on: tuple[type[Exception], ...] = checked_exceptions(fallback_on, "fallback_on")
        self.write_to_fallback = write_to_fallback

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r}, {self.fallback_key_value!r})"

    async def setup(self) -> None:
        """Open both stores now. If one raises one of `fallback_on`, log it; if both do, raise it."""
        fallback = BaseWrapper(self.fallback_key_value)
        try:
            await super().setup()
        except self.fallback_on as exc:
            _log_setup("primary", exc)
            await fallback.setup()
            return
        try:
            await fallback.setup()
        except self.fallback_on as exc:
            _log_setup("fallback", exc)

    async def close(self) -> None:
        """Close both stores, the second even if the first one raises."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(BaseWrapper(self.fallback_key_value).close)
            await super().close()

    async def _around(self, call: Call[R]) -> R:
        try:
            return await call.on(self.key_value)
        except self.fallback_on as exc:
            if not self._may_ask_fallback(call):
                raise
            # A driver's message may hold anything, so only its type is shown.
            logger.warning("%s goes to the fallback store after %s", call.name, type(exc).__name__)
            return await call.on(self.fallback_key_value)

    def _may_ask_fallback(self, call: Call[Any]) -> bool:
        operation = call.operation
        if operation.writes:
            return self.write_to_fallback and operation.protocol is AsyncKeyValueProtocol
        return operation.portable and isinstance(self.fallback_key_value, operation.protocol)


def _log_setup(which: str, error: Exception) -> None:
    # A driver's message may hold anything, so only its type is shown.
    logger.warning("the %s store could not be opened (%s); its next use tries again", which, type(error).__name__)
