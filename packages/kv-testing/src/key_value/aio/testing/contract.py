"""What the author of a store gives the kit: a fixture, two helpers and a few knobs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, ClassVar, Generic, NoReturn

import pytest
from key_value.aio.core import type_checks
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.names import MAX_NAME_BYTES
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.running import AsyncTests
from typing_extensions import TypeVar

__all__ = ["StoreContract", "StoreT", "ability", "capabilities_of", "eventually", "method"]

StoreT = TypeVar("StoreT", bound=AsyncKeyValue, default=Any)
AbilityT = TypeVar("AbilityT")


class StoreContract(AsyncTests, Generic[StoreT]):
    """Subclass `StoreTests`, which has every contract, or those classes it is made of that you need.

    The subclass gives a synchronous pytest fixture `store`: a new store object, not yet used and with nothing stored.
    The other methods here look at the backend past the store, through the raw client. Each may be left out; the
    tests that need it are skipped.
    """

    ttl_granularity: ClassVar[float] = 0.0
    """Seconds to which the backend rounds up the moment an entry expires; 0 where it keeps microseconds."""

    native_expiry_wait: ClassVar[float] = 10.0
    """Seconds that the backend may take to remove an expired entry, beyond `capabilities.expiry_resolution`."""

    stores_envelopes: ClassVar[bool] = True
    """Whether an entry is stored as one JSON text in format v1; False where its parts are in columns or fields."""

    max_name_bytes: ClassVar[int] = MAX_NAME_BYTES
    """The longest name in bytes of UTF-8; less for a wrapper that makes names longer."""

    any_event_loop: ClassVar[bool] = True
    """Whether one object serves several event loops; False for a store around a client that belongs to one."""

    many_keys: ClassVar[int] = 10_500
    """Entries that an enumeration must list in full. More than a page of any backend; fewer where that takes long."""

    largest_value: ClassVar[int] = 64 * 1024 * 1024
    """Bytes beyond which `capabilities.max_value_bytes` is believed without a test."""

    secrets: ClassVar[Sequence[str]] = ()
    """The passwords and tokens that the store was constructed with, none of which its repr may show."""

    @pytest.fixture
    def clock(self) -> Iterator[FakeClock]:
        with FakeClock() as clock:
            yield clock

    def reopen(self, store: StoreT) -> StoreT:  # noqa: ARG002 — for the author's use
        """A new store object over the same data, as another process would open it."""
        self._skip("reopen")

    async def read_stored(self, store: StoreT, collection: str, key: str) -> bytes | str | None:  # noqa: ARG002
        """What the backend holds under the names, as the raw client reads it; None when nothing."""
        self._skip("read_stored")

    async def corrupt_stored(self, store: StoreT, collection: str, key: str, data: bytes) -> None:  # noqa: ARG002
        """Put `data` in place of what is stored; without `stores_envelopes`, in place of the value alone.

        Call `pytest.skip` for what the backend itself refuses to hold.
        """
        self._skip("corrupt_stored")

    async def put_foreign(self, store: StoreT) -> None:  # noqa: ARG002
        """Write something next to the store's own data, as another application on the same backend would."""
        self._skip("put_foreign")

    async def has_foreign(self, store: StoreT) -> bool:  # noqa: ARG002
        """Whether what `put_foreign` wrote is still there."""
        self._skip("has_foreign")

    def _require_type_checks(self) -> None:
        if not type_checks.ENABLED:
            pytest.skip("PY_KEY_VALUE_DISABLE_BEARTYPE turns the checks of types off")

    def _skip(self, helper: str) -> NoReturn:
        pytest.skip(f"{type(self).__name__} does not override {helper}()")


def capabilities_of(store: object) -> Capabilities:
    return getattr(store, "capabilities", Capabilities())


def ability(store: object, protocol: type[AbilityT]) -> AbilityT:
    """The store, as one that has the ability; skips the test for a store that does not."""
    if not isinstance(store, protocol):
        pytest.skip(f"{type(store).__name__} does not implement {protocol.__name__}")
    return store


def method(store: object, name: str) -> Callable[[], Awaitable[Any]]:
    """A method that most stores have and AsyncKeyValue does not ask for; skips the test for a store without it."""
    if not hasattr(store, name):
        pytest.skip(f"{type(store).__name__} has no {name}()")
    return getattr(store, name)


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float) -> bool:
    """Whether the condition comes true within as many seconds."""
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
