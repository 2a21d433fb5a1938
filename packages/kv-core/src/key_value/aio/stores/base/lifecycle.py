"""Opening, preparing and closing a backend."""

from collections.abc import Awaitable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, NoReturn, TypeVar

from key_value.aio.core.driver_errors import DriverErrors, reraise
from key_value.aio.core.lifecycle import Once, OncePer
from key_value.aio.errors import BaseKeyValueError, StoreSetupError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BaseLifecycle"]

T = TypeVar("T")


class BaseLifecycle:
    """Opens the backend on first use, prepares collections, closes the backend, and translates errors of the hooks."""

    driver_errors: ClassVar[DriverErrors] = {}
    """Mapping of the driver's exceptions to errors. Built-in connection and timeout errors are already mapped."""

    def __init__(self) -> None:
        self._opening = Once(in_each_process=True)
        self._preparing = OncePer()
        # Most backends have nothing to prepare and can skip the check on every call.
        self._prepares_collections = type(self)._setup_collection is not BaseLifecycle._setup_collection  # noqa: SLF001 — same class

    # The hooks

    async def _setup(self) -> None:
        """Open the backend. Runs before the first operation, and again after `close`, a failure or a fork."""

    async def _probe(self) -> None:
        """Contact the backend; raise unless it works with these credentials and permissions.

        Runs in every `setup`, after the backend was opened, but not on the first use without `setup`.
        """

    async def _setup_collection(self, *, collection: str) -> None:
        """Prepare a collection. Runs before the first operation on it, and again after its destruction or a fork."""

    async def _close(self) -> None:
        """Release the resources that `_setup` and the operations opened, but not those passed in by the caller.

        Also runs after a failed `_setup`, which may have opened some of them, and again in every later `close`, because
        a call that was in flight during the first may have opened more.
        """

    # The public methods

    async def setup(self) -> None:
        await self._open()
        try:
            await self._probe()
        except Exception as exc:
            self._reraise(exc, otherwise=StoreSetupError)

    async def close(self) -> None:
        if not self._opening.begun:
            return
        self._opening.reset()
        self._preparing.reset()
        await self._translated(self._close())

    async def __aenter__(self) -> "Self":
        try:
            await self.setup()
        except BaseException:
            # The caller gets no store to close. The error to report is the one from setup.
            with suppress(Exception):
                await self.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    # For BaseStore and the mixins

    async def _open(self) -> None:
        if self._opening.done:
            return
        try:
            await self._opening.run(self._open_backend)
        except Exception as exc:
            self._reraise(exc, otherwise=StoreSetupError)

    async def _open_backend(self) -> None:
        await self._setup()

    async def _prepare(self, collection: str) -> None:
        """Open the backend and prepare the collection with this stored name."""
        if not self._opening.done:
            await self._open()
        if not self._prepares_collections or self._preparing.is_done(collection):
            return
        try:
            await self._preparing.run(collection, partial(self._setup_collection, collection=collection))
        except Exception as exc:
            self._reraise(exc, otherwise=StoreSetupError)

    async def _translated(self, hook: Awaitable[T]) -> T:
        """Return the hook's result, translating the driver's exceptions to `key_value.aio.errors`."""
        try:
            return await hook
        except Exception as exc:
            self._reraise(exc)

    def _reraise(self, error: Exception, *, otherwise: type[BaseKeyValueError] | None = None) -> NoReturn:
        reraise(error, self.driver_errors, repr(self), otherwise=otherwise)
