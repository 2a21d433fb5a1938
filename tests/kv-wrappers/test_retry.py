"""RetryWrapper: retried and other errors, the number of attempts, and delays."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.operations import OPERATIONS
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.errors import (
    DeserializationError,
    InvalidTTLError,
    SerializationError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.testing.inner_stores import ForeignStore, FullStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, ExampleCall
from key_value.aio.wrappers import retry
from key_value.aio.wrappers.retry import RetryWrapper

if TYPE_CHECKING:
    from collections.abc import Iterable

    from key_value.aio.protocols import AsyncKeyValue

REPEATABLE = {name: call for name, call in EVERY_CALL.items() if OPERATIONS[name].repeatable}


class FlakyStore(FullStore):
    """Raises each error once from its setup, then works."""

    def __init__(self, errors: Iterable[BaseException]) -> None:
        super().__init__()
        self.errors = list(errors)
        self.attempts = 0
        self.attempted = asyncio.Event()

    async def _setup(self) -> None:
        self.attempts += 1
        self.attempted.set()
        if self.errors:
            raise self.errors.pop(0)


class FlakyForeignStore(ForeignStore):
    """Raises each error once, untranslated, unlike our own stores."""

    def __init__(self, errors: Iterable[BaseException]) -> None:
        super().__init__()
        self.errors = list(errors)
        self.attempts = 0

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
        self.attempts += 1
        if self.errors:
            raise self.errors.pop(0)
        return await super().get(key, collection=collection)


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record delays instead of waiting."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waited


@pytest.fixture
def longest_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "random", lambda: 1.0)


class TestRetryWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> RetryWrapper:
        return RetryWrapper(store, initial_delay=0)


def test_it_behaves_like_a_dict() -> None:
    check_against_dict(lambda: RetryWrapper(MemoryStore()))


def failures(number: int) -> list[BaseException]:
    return [StoreConnectionError(f"failure {index}") for index in range(1, number + 1)]


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
async def test_a_call_that_finally_succeeds_returns_its_result(call: ExampleCall, delays: list[float]) -> None:
    store = FlakyStore(failures(3))
    answer = await call(RetryWrapper(store))
    assert store.attempts == 4
    assert len(delays) == 3
    assert answer == await call(FullStore())


@pytest.mark.parametrize("call", REPEATABLE.values(), ids=REPEATABLE)
async def test_the_last_error_is_raised(call: ExampleCall, delays: list[float]) -> None:
    store = FlakyStore(failures(9))
    with pytest.raises(StoreConnectionError, match="failure 4"):
        await call(RetryWrapper(store))
    assert (store.attempts, len(delays)) == (4, 3)


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_the_first_error_is_raised_without_retries(call: ExampleCall, delays: list[float]) -> None:
    store = FlakyStore(failures(9))
    with pytest.raises(StoreConnectionError, match="failure 1"):
        await call(RetryWrapper(store, max_retries=0))
    assert (store.attempts, delays) == (1, [])


@pytest.mark.parametrize("retries", [1, 2, 7])
async def test_a_call_is_retried_at_most_max_retries_times(retries: int, delays: list[float]) -> None:
    store = FlakyStore(failures(99))
    with pytest.raises(StoreConnectionError):
        await RetryWrapper(store, retries).get("key")
    assert (store.attempts, len(delays)) == (retries + 1, retries)


@pytest.mark.usefixtures("delays")
async def test_opening_is_retried() -> None:
    store = FlakyStore(failures(2))
    async with RetryWrapper(store) as wrapper:
        assert store.attempts == 3
        await wrapper.put("key", {"a": 1})


@pytest.mark.parametrize(
    "error",
    [
        StoreConnectionError(),
        StoreTimeoutError(),
        ConnectionResetError(),
        TimeoutError(),
        asyncio.TimeoutError(),  # not the builtin one before Python 3.11
    ],
    ids=lambda error: f"{type(error).__module__}.{type(error).__name__}",
)
async def test_a_transient_error_is_retried(error: Exception, delays: list[float]) -> None:
    store = FlakyForeignStore([error])
    assert await RetryWrapper(store).get("key") is None
    assert (store.attempts, len(delays)) == (2, 1)


@pytest.mark.parametrize(
    "error",
    [
        StoreSetupError(),
        DeserializationError(),
        InvalidTTLError(0),
        SerializationError(),
        ValueError(),
        OSError(),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_permanent_error_is_not_retried(error: BaseException) -> None:
    store = FlakyForeignStore([error])
    with pytest.raises(type(error)) as raised:
        await RetryWrapper(store).get("key")
    assert raised.value is error
    assert store.attempts == 1


async def test_a_permanent_error_ends_the_retries(delays: list[float]) -> None:
    store = FlakyForeignStore([ConnectionError(), ValueError("no"), ConnectionError()])
    with pytest.raises(ValueError, match="no"):
        await RetryWrapper(store).get("key")
    assert (store.attempts, len(delays)) == (2, 1)


@pytest.mark.usefixtures("delays")
async def test_only_the_errors_in_retry_on_are_retried() -> None:
    store = FlakyForeignStore([LookupError(), ConnectionError()])
    with pytest.raises(ConnectionError):
        await RetryWrapper(store, retry_on=(LookupError,)).get("key")
    assert store.attempts == 2


async def test_a_cancellation_is_never_retried_whatever_retry_on_holds() -> None:
    store = FlakyForeignStore([asyncio.CancelledError()])
    with pytest.raises(asyncio.CancelledError):
        await RetryWrapper(store, retry_on=(Exception,)).get("key")
    assert store.attempts == 1


@pytest.mark.usefixtures("longest_delays")
async def test_a_cancellation_ends_a_delay() -> None:
    store = FlakyStore(failures(9))
    call = asyncio.create_task(RetryWrapper(store, initial_delay=3600, max_delay=3600).get("key"))
    await store.attempted.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.attempts == 1


@pytest.mark.usefixtures("longest_delays")
async def test_delays_grow_exponentially_up_to_max_delay(delays: list[float]) -> None:
    wrapper = RetryWrapper(FlakyStore(failures(9)), 6, initial_delay=0.5, max_delay=5, exponential_base=2)
    with pytest.raises(StoreConnectionError):
        await wrapper.put("key", {"a": 1})
    assert delays == [0.5, 1, 2, 4, 5, 5]


@pytest.mark.usefixtures("longest_delays")
async def test_delays_with_a_base_of_one_are_constant(delays: list[float]) -> None:
    await RetryWrapper(FlakyStore(failures(3)), initial_delay=0.5, exponential_base=1).get("key")
    assert delays == [0.5, 0.5, 0.5]


async def test_delays_stay_bounded_after_many_attempts(delays: list[float]) -> None:
    wrapper = RetryWrapper(FlakyStore(failures(3000)), 3000, exponential_base=1e300)
    await wrapper.get("key")
    assert len(delays) == 3000
    assert max(delays) <= 10


async def test_delays_are_spread_over_their_whole_range(delays: list[float]) -> None:
    wrapper = RetryWrapper(FlakyStore(failures(300)), 300, initial_delay=1, max_delay=1)
    await wrapper.get("key")
    assert 0 <= min(delays) < 0.1
    assert 0.9 < max(delays) <= 1


@pytest.mark.usefixtures("delays")
async def test_a_retried_call_takes_effect_once() -> None:
    store = FlakyStore(failures(2))
    wrapper = RetryWrapper(store)
    await wrapper.put_many(["a", "b"], [{"n": 1}, {"n": 2}], collection="shelf", ttl=90)
    assert await wrapper.get_many(["b", "a"], collection="shelf") == [{"n": 2}, {"n": 1}]
    assert await wrapper.delete_many(["a", "b"], collection="shelf") == 2


@pytest.mark.parametrize(
    ("allowed", "options"),
    [
        ("max_retries must be a whole number of at least 0", {"max_retries": -1}),
        ("max_retries must be a whole number of at least 0", {"max_retries": True}),
        ("max_retries must be a whole number of at least 0", {"max_retries": 1.5}),
        ("initial_delay must be a finite number of seconds of at least 0", {"initial_delay": -0.1}),
        ("initial_delay must be a finite number of seconds of at least 0", {"initial_delay": float("nan")}),
        ("initial_delay must be a finite number of seconds of at least 0", {"initial_delay": "1"}),
        ("max_delay must be a finite number of seconds of at least 0", {"max_delay": -1}),
        ("max_delay must be a finite number of seconds of at least 0", {"max_delay": float("inf")}),
        ("max_delay must be a finite number of seconds of at least 0", {"max_delay": 10**400}),
        ("exponential_base must be a finite number of at least 0", {"exponential_base": -1}),
        ("exponential_base must be a finite number of at least 0", {"exponential_base": float("nan")}),
        ("exponential_base must be a finite number of at least 0", {"exponential_base": float("inf")}),
        ("exponential_base must be a finite number of at least 0", {"exponential_base": True}),
        ("retry_on must be classes of exceptions", {"retry_on": None}),
        ("retry_on must be classes of exceptions", {"retry_on": ("ConnectionError",)}),
        ("retry_on must be classes of exceptions", {"retry_on": (int,)}),
        ("retry_on must be classes of exceptions", {"retry_on": (ConnectionError(),)}),
        ("retry_on must be classes of exceptions", {"retry_on": (BaseException,)}),
        ("retry_on must be classes of exceptions", {"retry_on": (asyncio.CancelledError,)}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_an_invalid_option_is_refused(allowed: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=allowed):
        RetryWrapper(MemoryStore(), **options)


def test_a_single_exception_may_be_passed_without_a_tuple() -> None:
    with pytest.warns(TypeViolationWarning):
        wrapper = RetryWrapper(MemoryStore(), retry_on=LookupError)  # pyright: ignore[reportArgumentType] — as in earlier versions
    assert wrapper.retry_on == (LookupError,)


async def test_no_delay_not_even_the_first_is_longer_than_max_delay(delays: list[float]) -> None:
    store = FlakyForeignStore([ConnectionError(), ConnectionError()])
    await RetryWrapper(store, initial_delay=20, max_delay=0.001).get("key")
    assert len(delays) == 2
    assert max(delays) <= 0.001


async def test_a_base_below_one_makes_the_delays_shorter(delays: list[float]) -> None:
    store = FlakyForeignStore([ConnectionError()] * 3)
    await RetryWrapper(store, initial_delay=0.01, exponential_base=0).get("key")
    assert delays[1:] == [0, 0]


async def test_nothing_is_retried_if_retry_on_is_empty() -> None:
    store = FlakyForeignStore([ConnectionError()])
    with pytest.raises(ConnectionError):
        await RetryWrapper(store, retry_on=()).get("key")
    assert store.attempts == 1


async def test_each_retry_is_logged_without_the_error_message(caplog: pytest.LogCaptureFixture) -> None:
    store = FlakyForeignStore([ConnectionError("hunter2"), ConnectionError("hunter2")])
    await RetryWrapper(store, initial_delay=0).get("key")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert caplog.messages == [
        "retry 1 of 3 of get after ConnectionError",
        "retry 2 of 3 of get after ConnectionError",
    ]


class UncertainStore(MemoryStore):
    """Stores the entry, then loses the connection before it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.attempts = 0

    async def put_if_absent(self, key: str, value: Any, **options: Any) -> bool:
        self.attempts += 1
        await super().put_if_absent(key, value, **options)
        raise StoreConnectionError

    async def put_if_version(self, key: str, value: Any, version: str | None, **options: Any) -> bool:
        self.attempts += 1
        await super().put_if_version(key, value, version, **options)
        raise StoreConnectionError

    async def delete_if_version(self, key: str, version: str, **options: Any) -> bool:
        self.attempts += 1
        await super().delete_if_version(key, version, **options)
        raise StoreConnectionError


async def test_a_conditional_write_with_an_unknown_outcome_is_never_repeated() -> None:
    store = UncertainStore()
    wrapper: Any = RetryWrapper(store, initial_delay=0)
    with pytest.raises(StoreConnectionError):
        await wrapper.put_if_absent("key", {"n": 1})
    version = (await wrapper.get_versioned("key")).version
    with pytest.raises(StoreConnectionError):
        await wrapper.put_if_version("key", {"n": 2}, version)
    version = (await wrapper.get_versioned("key")).version
    with pytest.raises(StoreConnectionError):
        await wrapper.delete_if_version("key", version)
    assert (store.attempts, await store.get("key")) == (3, None)
