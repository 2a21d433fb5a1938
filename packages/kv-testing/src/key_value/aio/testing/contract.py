"""The interface between the kit and the author of a store: a fixture, helpers and settings."""

import asyncio
import inspect
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, NoReturn

import pytest
from key_value.aio.core import type_checks
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.names import MAX_NAME_BYTES
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.running import AsyncTests
from key_value.aio.testing.selection import Need, check_selection, expecting, needs, select_tests
from typing_extensions import TypeVar

__all__ = ["StoreContract", "StoreT", "ability", "capabilities_of", "eventually", "method", "store_keys"]

StoreT = TypeVar("StoreT", bound=AsyncKeyValue, default=Any)
AbilityT = TypeVar("AbilityT")
F = TypeVar("F", bound=Callable[..., Any])

_KEYS_PER_BATCH = 500
_KIT_PACKAGE = __name__.rpartition(".")[0]


def _default(method: F) -> F:
    """Mark a helper as not overridden by the author, for `needs(helper(...))`."""
    vars(method)["__kit_default__"] = True
    return method


class StoreContract(AsyncTests, Generic[StoreT]):
    """Subclass `StoreTests`, which has all tests, or only the classes with the tests you need.

    The subclass defines a synchronous pytest fixture `store` that returns a new, unused and empty store. The other
    methods here access the backend through its native client. All are optional: without one, the tests that need it are
    not selected. The kit selects tests by the protocols of the class in `StoreTests[MyStore]`, or of `example`; if
    neither is given, tests that do not apply are skipped.
    """

    example: ClassVar[object] = None
    """A store object like those of the fixture. It is never used: its protocols and capabilities select the tests.

    Set it if the protocols of the store depend on the object, as with a wrapper, or to also select by capabilities.
    """

    ttl_granularity: ClassVar[float] = 0.0
    """The unit, in seconds, to which the backend rounds up expiry times; 0 if it keeps microseconds."""

    native_expiry_wait: ClassVar[float] = 10.0
    """Seconds, in addition to `capabilities.expiry_resolution`, in which the backend must remove an expired entry."""

    stores_envelopes: ClassVar[bool] = True
    """Whether an entry is stored as one JSON document in format v1; False if its parts are in columns or fields."""

    reopens: ClassVar[bool] = True
    """Whether a closed store opens again at its next use; False if every use then raises a BaseKeyValueError."""

    max_name_bytes: ClassVar[int] = MAX_NAME_BYTES
    """The maximum length of a name in bytes of UTF-8. Lower it for a wrapper that lengthens names."""

    any_event_loop: ClassVar[bool] = True
    """Whether a store object works in several event loops; False for a store around a client bound to one loop."""

    many_keys: ClassVar[int] = 10_500
    """Number of entries that an enumeration must list completely. The default exceeds the page size of any backend;
    lower it for a slow store.
    """

    largest_value: ClassVar[int] = 64 * 1024 * 1024
    """The largest `capabilities.max_value_bytes`, in bytes, that is tested."""

    contenders: ClassVar[int] = 20
    """Number of tasks that concurrently write the same entry. Lower it for a slow store."""

    increments: ClassVar[int] = 10
    """Number of times that each of these tasks increments a counter."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and tokens in the store's constructor arguments. Its repr must not show any of them."""

    def __init_subclass__(cls, needs: Sequence[Need | type[Any]] = (), **kwargs: Any) -> None:
        """`needs` apply to every test of the class."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.rpartition(".")[0] == _KIT_PACKAGE:
            _prepare_tests(cls, needs)
        else:
            select_tests(cls)

    @pytest.fixture(autouse=True)
    def _selection(self, request: pytest.FixtureRequest) -> None:
        if "store" in request.fixturenames:
            check_selection(type(self), request.function, request.getfixturevalue("store"))

    @pytest.fixture
    def clock(self) -> Iterator[FakeClock]:
        with FakeClock() as clock:
            yield clock

    @_default
    def reopen(self, store: StoreT) -> StoreT:  # noqa: ARG002 — for the author's use
        """Return a new store object for the same data, as another process would open it."""
        self._skip("reopen")

    @_default
    async def read_stored(self, store: StoreT, collection: str, key: str) -> bytes | str | None:  # noqa: ARG002
        """Return the stored data of the entry, read with the native client; None if there is none."""
        self._skip("read_stored")

    @_default
    async def corrupt_stored(self, store: StoreT, collection: str, key: str, data: bytes) -> None:  # noqa: ARG002
        """Replace the stored data with `data`; without `stores_envelopes`, replace only the value.

        Call `pytest.skip` if the backend itself rejects the data.
        """
        self._skip("corrupt_stored")

    @_default
    async def put_foreign(self, store: StoreT) -> None:  # noqa: ARG002
        """Write data next to that of the store, like another application on the same backend."""
        self._skip("put_foreign")

    @_default
    async def has_foreign(self, store: StoreT) -> bool:  # noqa: ARG002
        """Return whether the data written by `put_foreign` still exists."""
        self._skip("has_foreign")

    @_default
    async def break_backend(self, store: StoreT) -> None:  # noqa: ARG002
        """Make every further call of the driver fail, for example by stopping the server or closing the file."""
        self._skip("break_backend")

    @_default
    def address(self, store: StoreT) -> tuple[str, Mapping[str, Any]]:  # noqa: ARG002
        """Return how another process opens the data: the class as `module:class`, and JSON-serializable arguments."""
        self._skip("address")

    def enumerable(self, store: StoreT, names: Sequence[str]) -> list[str]:
        """Return the names that are short enough to be stored without hashing, so that the backend can list them."""
        limit = capabilities_of(store).max_key_bytes
        return [name for name in names if limit is None or len(name.encode()) <= limit // 4]

    def value_limit(self, store: StoreT) -> int:
        """Return the maximum size of an entry in bytes; skip the test if it exceeds `largest_value`."""
        limit = capabilities_of(store).max_value_bytes
        if limit is None or limit > self.largest_value:
            pytest.skip(f"{type(store).__name__} accepts values larger than largest_value, {self.largest_value} bytes")
        return limit

    def _require_type_checks(self) -> None:
        if not type_checks.ENABLED:
            pytest.skip("PY_KEY_VALUE_DISABLE_BEARTYPE disables type checks")

    def _skip(self, helper: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__} does not override {helper}()")


def _prepare_tests(tests: type[Any], needed: Sequence[Need | type[Any]]) -> None:
    contract = (sys.modules[tests.__module__].__doc__ or "").partition("\n")[0]
    for name, test in list(vars(tests).items()):
        if name.startswith("test") and inspect.isfunction(test):
            setattr(tests, name, expecting(needs(*needed)(test), contract))


def capabilities_of(store: object) -> Capabilities:
    return getattr(store, "capabilities", Capabilities())


def ability(store: object, protocol: type[AbilityT]) -> AbilityT:
    """Return the store, typed as the protocol; skip the test if the store does not implement it."""
    if not isinstance(store, protocol):
        pytest.skip(f"needs a store that implements {protocol.__name__}")
    return store


def method(store: object, name: str) -> Callable[[], Awaitable[Any]]:
    """Return a method that is not part of AsyncKeyValue; skip the test if the store does not have it."""
    if not hasattr(store, name):
        pytest.skip(f"{type(store).__name__} has no {name}()")
    return getattr(store, name)


async def store_keys(store: AsyncKeyValue, keys: Sequence[str], collection: str) -> None:
    """Put an entry for each of the keys."""
    for start in range(0, len(keys), _KEYS_PER_BATCH):
        chunk = keys[start : start + _KEYS_PER_BATCH]
        await store.put_many(chunk, [{"n": 1}] * len(chunk), collection=collection)


async def cancel_after(steps: int, operation: Awaitable[Any]) -> None:
    """Start the operation, let the event loop run `steps` iterations, and cancel the operation."""
    task = asyncio.ensure_future(operation)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
    """Poll the condition; return True once it holds, or False if it does not hold after `within` seconds."""
    deadline = time.monotonic() + within
    is_past_deadline = False
    while not await condition():
        if is_past_deadline:
            return False
        await asyncio.sleep(0.02)
        # Checked before the condition, so that after a stall of the machine the condition is still polled once more.
        is_past_deadline = time.monotonic() > deadline
    return True
