"""TimeoutWrapper cancels calls that take too long and leaves all others unchanged."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreTimeoutError
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.testing import WrapperTests
from key_value.aio.testing.inner_stores import FailingStore, ForeignStore, FullStore
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.wrapper import EVERY_CALL, ExampleCall
from key_value.aio.wrappers import retry
from key_value.aio.wrappers.retry import RetryWrapper
from key_value.aio.wrappers.timeout import TimeoutWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from key_value.aio.protocols import AsyncKeyValue

TIMEOUT_SECONDS = 0.005
COUNTS_CANCELLATIONS = sys.version_info >= (3, 11)


class HangingStore(FullStore):
    """Never opens, and takes a few steps of the event loop to clean up when cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()
        self.cleaned_up = False
        self.attempts = 0

    async def _setup(self) -> None:
        self.attempts += 1
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            self.cleaned_up = True


class YieldingStore(FullStore):
    """Yields to the event loop a few times, but never for long."""

    async def _setup(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class CallbackStore(ForeignStore):
    """Calls the function as its get."""

    def __init__(self, get: Callable[[], Awaitable[dict[str, Any] | None]]) -> None:
        super().__init__()
        self._get = get

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:  # noqa: ARG002
        return await self._get()


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Record the timers set in the event loop of the test."""
    handles: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def spy(*arguments: Any, **options: Any) -> asyncio.TimerHandle:
        handles.append(call_later(*arguments, **options))
        return handles[-1]

    monkeypatch.setattr(loop, "call_later", spy)
    return handles


class TestTimeoutWrapper(WrapperTests):
    def wrap(self, store: AsyncKeyValue) -> TimeoutWrapper:
        return TimeoutWrapper(store)


def test_it_behaves_like_a_dict() -> None:
    check_against_dict(lambda: TimeoutWrapper(MemoryStore()))


def assert_no_task_or_cancellation_is_left() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert asyncio.all_tasks() == {task}
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 0


@pytest.mark.parametrize("name", EVERY_CALL)
async def test_a_hanging_call_raises_after_its_cleanup(name: str) -> None:
    store = HangingStore()
    with pytest.raises(StoreTimeoutError, match=f"^{name} did not end within 0.005 seconds$") as raised:
        await EVERY_CALL[name](TimeoutWrapper(store, timeout=TIMEOUT_SECONDS))
    assert isinstance(raised.value, TimeoutError)
    assert isinstance(raised.value, StoreConnectionError)
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert store.cleaned_up
    assert_no_task_or_cancellation_is_left()


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_call_that_waits_returns_its_result(call: ExampleCall, timers: list[asyncio.TimerHandle]) -> None:
    assert await call(TimeoutWrapper(YieldingStore())) == await call(FullStore())
    assert [timer.cancelled() for timer in timers] == [True]
    assert_no_task_or_cancellation_is_left()


async def test_a_call_that_does_not_wait_needs_no_timer(timers: list[asyncio.TimerHandle]) -> None:
    wrapper = TimeoutWrapper(MemoryStore())
    await wrapper.put("key", {"a": 1})
    assert await wrapper.get("key") == {"a": 1}
    assert await wrapper.get_many(["key"]) == [{"a": 1}]
    assert timers == []


async def test_the_wrapper_works_after_a_timeout() -> None:
    store = HangingStore()
    wrapper = TimeoutWrapper(store, TIMEOUT_SECONDS)
    for _ in range(3):
        with pytest.raises(StoreTimeoutError):
            await wrapper.get("key")
    assert_no_task_or_cancellation_is_left()


@pytest.mark.parametrize("waits", [False, True])
async def test_a_timeout_of_the_inner_store_is_raised_unchanged(*, waits: bool) -> None:
    error = TimeoutError("of the inner store")

    async def get() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    with pytest.raises(TimeoutError) as raised:
        await TimeoutWrapper(CallbackStore(get)).get("key")
    assert raised.value is error
    assert_no_task_or_cancellation_is_left()


async def test_an_error_raised_during_cancellation_is_raised_unchanged() -> None:
    error = LookupError("while it let go")

    async def get() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    with pytest.raises(LookupError) as raised:
        await TimeoutWrapper(CallbackStore(get), TIMEOUT_SECONDS).get("key")
    assert raised.value is error
    assert_no_task_or_cancellation_is_left()


async def test_a_result_returned_despite_cancellation_is_returned() -> None:
    async def get() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return {"a": 1}

    assert await TimeoutWrapper(CallbackStore(get), TIMEOUT_SECONDS).get("key") == {"a": 1}
    assert_no_task_or_cancellation_is_left()
    await asyncio.sleep(0)


async def test_an_error_of_an_awaited_future_reaches_the_call() -> None:
    async def get() -> dict[str, Any]:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("of the driver"))
        try:
            await future
        except LookupError as error:
            return {"caught": str(error)}
        return {}

    assert await TimeoutWrapper(CallbackStore(get)).get("key") == {"caught": "of the driver"}


async def test_a_cancellation_by_the_caller_is_raised(timers: list[asyncio.TimerHandle]) -> None:
    store = HangingStore()
    call = asyncio.create_task(TimeoutWrapper(store).get("key"))
    await store.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.cleaned_up
    assert [timer.cancelled() for timer in timers] == [True]


@pytest.mark.skipif(not COUNTS_CANCELLATIONS, reason="Python 3.10 does not distinguish one cancellation from two")
async def test_a_cancellation_by_the_caller_takes_precedence_over_a_simultaneous_timeout(
    timers: list[asyncio.TimerHandle],
) -> None:
    store = HangingStore()
    call = asyncio.create_task(TimeoutWrapper(store, 100 * TIMEOUT_SECONDS).get("key"))
    await store.waiting.wait()
    asyncio.get_running_loop().call_at(timers[0].when(), call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.cleaned_up


async def test_a_shorter_inner_timeout_takes_effect() -> None:
    store = HangingStore()
    wrapper = TimeoutWrapper(TimeoutWrapper(store, TIMEOUT_SECONDS), 50)
    with pytest.raises(StoreTimeoutError, match=r"within 0\.005 seconds"):
        await wrapper.get("key")
    assert_no_task_or_cancellation_is_left()


async def test_simultaneous_timeouts_raise_one_timeout_error() -> None:
    wrapper = TimeoutWrapper(
        TimeoutWrapper(TimeoutWrapper(HangingStore(), TIMEOUT_SECONDS), TIMEOUT_SECONDS), TIMEOUT_SECONDS
    )
    with pytest.raises(StoreTimeoutError):
        await wrapper.get("key")
    assert_no_task_or_cancellation_is_left()


async def test_a_timeout_is_retried() -> None:
    store = HangingStore()
    with pytest.raises(StoreTimeoutError):
        await RetryWrapper(TimeoutWrapper(store, TIMEOUT_SECONDS), max_retries=2, initial_delay=0).get("key")
    assert store.attempts == 3


async def test_a_timeout_around_retries_interrupts_their_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "random", lambda: 1.0)
    inner = FailingStore(StoreConnectionError("the server is down"))
    with pytest.raises(StoreTimeoutError):
        await TimeoutWrapper(RetryWrapper(inner, initial_delay=3600, max_delay=3600), TIMEOUT_SECONDS).get("key")
    assert_no_task_or_cancellation_is_left()


async def test_concurrent_calls_are_timed_separately() -> None:
    released = asyncio.Event()

    async def get() -> dict[str, Any]:
        await released.wait()
        return {"a": 1}

    store = CallbackStore(get)
    calls = [TimeoutWrapper(store, seconds).get("key") for seconds in (TIMEOUT_SECONDS, 50, TIMEOUT_SECONDS, 50)]
    asyncio.get_running_loop().call_later(10 * TIMEOUT_SECONDS, released.set)
    timed_out, first, timed_out_too, second = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(timed_out), type(timed_out_too)] == [StoreTimeoutError, StoreTimeoutError]
    assert [first, second] == [{"a": 1}, {"a": 1}]


def test_it_works_in_several_event_loops() -> None:
    wrapper = TimeoutWrapper(YieldingStore())
    asyncio.run(wrapper.put("key", {"a": 1}))
    asyncio.run(wrapper.close())
    assert asyncio.run(wrapper.get("key")) == {"a": 1}


@pytest.mark.parametrize("timeout", [0, -1, 0.0, float("nan"), 10**400, True], ids=str)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_timeout_that_is_not_positive_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a finite number of seconds above zero"):
        TimeoutWrapper(MemoryStore(), timeout)


@pytest.mark.parametrize("timeout", [None, float("inf")])
async def test_a_call_without_a_timeout_is_not_limited(timeout: float | None) -> None:
    inner = HangingStore()
    wrapper = TimeoutWrapper(inner, timeout)
    call = asyncio.create_task(wrapper.get("key"))
    await inner.waiting.wait()
    assert (call.done(), wrapper.timeout) == (False, float("inf"))
    call.cancel()
