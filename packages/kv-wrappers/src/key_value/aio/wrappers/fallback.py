"""FallbackWrapper: a second store for when the first fails."""

from contextlib import AsyncExitStack
from logging import Logger, getLogger
from typing import Any, TypeVar

from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.wrappers import BaseCallWrapper, BaseWrapper, Call
from key_value.aio.core.wrappers.base import checked_store
from key_value.aio.core.wrappers.exceptions import checked_exceptions
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.protocols import AsyncKeyValue, AsyncKeyValueProtocol

__all__ = ["FallbackWrapper"]

R = TypeVar("R")

logger: Logger = getLogger(__name__)


class FallbackWrapper(BaseCallWrapper):
    """Calls the fallback store when the primary raises one of `fallback_on`, but never after a cancellation.

    These reads fall back: `get`, `ttl`, their batches as a whole, and `keys` and `collections` if the fallback supports
    them. `scan` and `get_versioned` do not, because cursors and versions are valid only in the store that returned
    them. The call returns or raises what the fallback does, and a warning is logged. An absent entry is a result and
    does not fall back.

    Writes raise, unless `write_to_fallback` is set: then a put or delete that fails in the primary goes to the
    fallback. Conditional writes, `destroy`, `destroy_collection` and `cull` go only to the primary. The wrapper has the
    optional protocols and capabilities of the primary.

    Entries are never copied between the stores. While the primary fails, reads return the fallback's entries, which may
    be older or absent. Once it recovers, reads return the primary's entries again, and entries written to the fallback
    in the meantime are not visible. A write that timed out may be in both stores.
    """

    @warn_types
    def __init__(
        self,
        primary_key_value: AsyncKeyValue,
        fallback_key_value: AsyncKeyValue,
        fallback_on: tuple[type[Exception], ...] = (KeyValueStoreError, ConnectionError, TimeoutError),
        write_to_fallback: bool = False,  # noqa: FBT001, FBT002 — positional in earlier versions too
    ) -> None:
        """`fallback_on` is an exception class or a tuple of them; by default, the errors of a failing store.

        The default excludes invalid arguments, values that cannot be serialized and programming errors. Raises
        ValueError if `fallback_on` contains anything but exception classes.
        """
        super().__init__(primary_key_value)
        self.fallback_key_value: AsyncKeyValue = checked_store(fallback_key_value, "fallback_key_value")
        self.fallback_on: tuple[type[Exception], ...] = checked_exceptions(fallback_on, "fallback_on")
        self.write_to_fallback = write_to_fallback

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key_value!r}, {self.fallback_key_value!r})"

    async def setup(self) -> None:
        """Open both stores now. A `fallback_on` error of one store is logged; if both fail, it is raised."""
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
        """Close both stores, the second even if closing the first raises."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(BaseWrapper(self.fallback_key_value).close)
            await super().close()

    async def _around(self, call: Call[R]) -> R:
        try:
            return await call.on(self.key_value)
        except self.fallback_on as exc:
            if not self._may_ask_fallback(call):
                raise
            # A driver's message may contain secrets, so only its type is logged.
            logger.warning("%s goes to the fallback store after %s", call.name, type(exc).__name__)
            return await call.on(self.fallback_key_value)

    def _may_ask_fallback(self, call: Call[Any]) -> bool:
        operation = call.operation
        if operation.writes:
            return self.write_to_fallback and operation.protocol is AsyncKeyValueProtocol
        return operation.portable and isinstance(self.fallback_key_value, operation.protocol)


def _log_setup(which: str, error: Exception) -> None:
    # A driver's message may contain secrets, so only its type is logged.
    logger.warning("the %s store could not be opened (%s); its next use tries again", which, type(error).__name__)
