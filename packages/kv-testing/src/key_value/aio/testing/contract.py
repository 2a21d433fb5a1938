"""The interface between the kit and the author of a store: a fixture, a few helpers and a few knobs."""

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

_CHUNK = 500
_KIT = __name__.rpartition(".")[0]


def _default(method: F) -> F:
    """Marks a helper that the author has not overridden, for `needs(helper(...))`."""
    vars(method)["__kit_default__"] = True
    return method


class StoreContract(AsyncTests, Generic[StoreT]):
    """Subclass `StoreTests`, which has every contract, or only the classes of the contracts you need.

    The subclass defines a synchronous pytest fixture `store`, which returns a new, unused and empty store. The other
    methods here access the backend through the raw client. You may leave any of them out; tests that need it are not
    selected. The class in `StoreTests[MyStore]`, or `example`, shows which protocols the store implements; if neither
    does, a test that does not apply is skipped.
    """

    example: ClassVar[object] = None
    """A store object like those of the fixture, which is never used: its protocols and capabilities select the tests.

    Set it for a store whose class does not show its protocols, such as a wrapper, and to select by capabilities too.
    """

    ttl_granularity: ClassVar[float] = 0.0
    """Seconds to which the backend rounds up the time of expiry; 0 if it keeps microseconds."""

    native_expiry_wait: ClassVar[float] = 10.0
    """Seconds that the backend may take to remove an expired entry, beyond `capabilities.expiry_resolution`."""

    stores_envelopes: ClassVar[bool] = True
    """Whether an entry is stored as one JSON text in format v1; False if its parts are in columns or fields."""

    reopens: ClassVar[bool] = True
    """Whether a closed store opens again at its next use; False if it then raises a KeyValueError, at every use."""

    max_name_bytes: ClassVar[int] = MAX_NAME_BYTES
    """The longest name in bytes of UTF-8; less for a wrapper that lengthens names."""

    any_event_loop: ClassVar[bool] = True
    """Whether one object serves several event loops; False for a store around a client that belongs to one."""

    many_keys: ClassVar[int] = 10_500
    """Number of entries that an enumeration must list completely: more than a page of any backend; fewer for a slow
    store.
    """

    largest_value: ClassVar[int] = 64 * 1024 * 1024
    """Bytes beyond which `capabilities.max_value_bytes` is not tested."""

    contenders: ClassVar[int] = 20
    """Number of tasks that write one entry at once; fewer for a slow store."""

    increments: ClassVar[int] = 10
    """How often each of these tasks reads a number and writes the next one."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and tokens in the store's constructor arguments, none of which its repr may show."""

    def __init_subclass__(cls, needs: Sequence[Need | type[Any]] = (), **kwargs: Any) -> None:
        """`needs` are the needs of every test of the class."""
        super().__init_subclass__(**kwargs)
        if cls.__module__.rpartition(".")[0] == _KIT:
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
        """Return a new store object over the same data, as another process would open it."""
        self._skip("reopen")

    @_default
    async def read_stored(self, store: StoreT, collection: str, key: str) -> bytes | str | None:  # noqa: ARG002
        """Return the data stored under the names, as the raw client reads it; None if there is none."""
        self._skip("read_stored")

    @_default
    async def corrupt_stored(self, store: StoreT, collection: str, key: str, data: bytes) -> None:  # noqa: ARG002
        """Replace the stored data with `data`; without `stores_envelopes`, replace only the value.

        Call `pytest.skip` for data that the backend itself refuses.
        """
        self._skip("corrupt_stored")

    @_default
    async def put_foreign(self, store: StoreT) -> None:  # noqa: ARG002
        """Write something next to the store's own data, as another application on the same backend would."""
        self._skip("put_foreign")

    @_default
    async def has_foreign(self, store: StoreT) -> bool:  # noqa: ARG002
        """Return whether the data of `put_foreign` is still there."""
        self._skip("has_foreign")

    @_default
    async def break_backend(self, store: StoreT) -> None:  # noqa: ARG002
        """Make the store's driver fail at every further call: its server stopped, its file closed or replaced."""
        self._skip("break_backend")

    @_default
    def address(self, store: StoreT) -> tuple[str, Mapping[str, Any]]:  # noqa: ARG002
        """Return how another process opens the data: the class as `module:class`, and keyword arguments for JSON."""
        self._skip("address")

    def enumerable(self, store: StoreT, names: Sequence[str]) -> list[str]:
        """The names that need no hashing, after which a backend may not know them any more."""
        limit = capabilities_of(store).max_key_bytes
        return [name for name in names if limit is None or len(name.encode()) <= limit // 4]

    def value_limit(self, store: StoreT) -> int:
        """The most bytes that the store takes in an entry; skips the test where that is too much to try."""
        limit = capabilities_of(store).max_value_bytes
        if limit is None or limit > self.largest_value:
            pytest.skip(f"{type(store).__name__} takes values of more than largest_value, {self.largest_value} bytes")
        return limit

    def _require_type_checks(self) -> None:
        if not type_checks.ENABLED:
            pytest.skip("PY_KEY_VALUE_DISABLE_BEARTYPE turns the checks of types off")

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
    """The store, as one that has the ability; skips the test for a store that does not."""
    if not isinstance(store, protocol):
        pytest.skip(f"needs a store that implements {protocol.__name__}")
    return store


def method(store: object, name: str) -> Callable[[], Awaitable[Any]]:
    """A method that most stores have and AsyncKeyValue does not ask for; skips the test for a store without it."""
    if not hasattr(store, name):
        pytest.skip(f"{type(store).__name__} has no {name}()")
    return getattr(store, name)


async def store_keys(store: AsyncKeyValue, keys: Sequence[str], collection: str) -> None:
    """Put an entry under each of the keys."""
    for start in range(0, len(keys), _CHUNK):
        chunk = keys[start : start + _CHUNK]
        await store.put_many(chunk, [{"n": 1}] * len(chunk), collection=collection)


async def cancel_after(steps: int, operation: Awaitable[Any]) -> None:
    """Begin the operation, let the event loop go round as often, and cancel it."""
    task = asyncio.ensure_future(operation)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
    """Whether the condition comes true within as many seconds, or is true when asked after them."""
    deadline = time.monotonic() + within
    is_last = False
    while not await condition():
        if is_last:
            return False
        await asyncio.sleep(0.02)
        # Told before the condition is asked, so that a machine that stalls in between takes no chance from it.
        is_last = time.monotonic() > deadline
    return True
