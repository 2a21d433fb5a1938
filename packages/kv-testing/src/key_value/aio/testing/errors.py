"""Errors: every exception of the driver, from any call, is converted to a BaseKeyValueError."""

import pytest
from key_value.aio.core.operations import OPERATIONS
from key_value.aio.errors import BaseKeyValueError
from key_value.aio.protocols import AsyncLifecycleProtocol
from key_value.aio.testing.calls import calls_with
from key_value.aio.testing.contract import StoreContract, StoreT, capabilities_of
from key_value.aio.testing.selection import helper, needs

__all__ = ["ErrorTests"]

VALUE = {"password": "hunter2"}

CALLS = calls_with(VALUE)


class ErrorTests(StoreContract[StoreT], needs=(helper("break_backend"),)):
    @pytest.mark.parametrize("operation", CALLS)
    async def test_an_error_of_the_driver_comes_out_as_one_of_ours(self, store: StoreT, operation: str) -> None:
        if not isinstance(store, OPERATIONS[operation].protocol):
            pytest.skip(f"{type(store).__name__} has no {operation}()")
        if not OPERATIONS[operation].repeatable and not capabilities_of(store).conditional_writes:
            pytest.skip(f"{type(store).__name__} does not declare conditional_writes")
        await store.put_many(["key", "other"], [VALUE, VALUE], collection="shelf")
        call = await CALLS[operation].prepared(store)
        await self.break_backend(store)
        with pytest.raises(Exception) as raised:  # noqa: PT011 — looked at below
            await call(store)
        self._check(raised.value)

    async def test_a_first_use_of_a_broken_backend_is_an_error_of_ours(self, store: StoreT) -> None:
        await self.break_backend(store)
        with pytest.raises(Exception) as raised:  # noqa: PT011 — looked at below
            await store.put("key", VALUE)
        self._check(raised.value)

    @needs(AsyncLifecycleProtocol)
    async def test_setup_tells_that_the_backend_has_broken_since(self, store: StoreT) -> None:
        assert isinstance(store, AsyncLifecycleProtocol)
        await store.setup()
        await self.break_backend(store)
        for _ in range(2):
            with pytest.raises(Exception) as raised:  # noqa: PT011 — looked at below
                await store.setup()
            self._check(raised.value)

    def _check(self, error: Exception) -> None:
        assert isinstance(error, BaseKeyValueError), f"the driver's {type(error).__name__} is not converted"
        # The driver's exception must be kept as the cause.
        assert error.__cause__ is not None
        assert not isinstance(error.__cause__, BaseKeyValueError)
        shown = f"{error!r} {error}"
        assert [secret for secret in ("hunter2", *self.secrets) if secret in shown] == []
