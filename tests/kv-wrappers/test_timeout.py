"""TimeoutWrapper ends what takes too long, and leaves everything else as it is."""

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

SOON = 0.005
COUNTS_CANCELLATIONS = sys.version_info >= (3, 11)


class HangingStore(FullStore):
    """Never opens, and takes some steps to let go when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = asyncio.Event()
        self.let_go = False
        self.attempts = 0

    async def _setup(self) -> None:
        self.attempts += 1
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(3):
                await asyncio.sleep(0)
            self.let_go = True


class PatientStore(FullStore):
    """Takes steps of the event loop, and never long."""

    async def _setup(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class ForeignStoreThat(ForeignStore):
    """Its get is the function."""

    def __init__(self, get: Callable[[], Awaitable[dict[str, Any] | None]]) -> None:
        super().__init__()
        self._get = get

    async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:  # noqa: ARG002
        return await self._get()


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Those that were set in the event loop of the test."""
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


def assert_nothing_is_left_behind() -> None:
    task = asyncio.current_task()
    assert task is not None
    assert asyncio.all_tasks() == {task}
    if sys.version_info >= (3, 11):
        assert task.cancelling() == 0


@pytest.mark.parametrize("name", EVERY_CALL)
async def test_a_call_that_hangs_raises_when_it_has_let_go(name: str) -> None:
    store = HangingStore()
    with pytest.raises(StoreTimeoutError, match=f"^{name} did not end within 0.005 seconds$") as raised:
        await EVERY_CALL[name](TimeoutWrapper(store, timeout=SOON))
    assert isinstance(raised.value, TimeoutError)
    assert isinstance(raised.value, StoreConnectionError)
    assert isinstance(raised.value.__cause__, asyncio.CancelledError)
    assert store.let_go
    assert_nothing_is_left_behind()


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
async def test_a_call_that_waits_answers(call: ExampleCall, timers: list[asyncio.TimerHandle]) -> None:
    assert await call(TimeoutWrapper(PatientStore())) == await call(FullStore())
    assert [timer.cancelled() for timer in timers] == [True]
    assert_nothing_is_left_behind()


async def test_a_call_that_does_not_wait_needs_no_timer(timers: list[asyncio.TimerHandle]) -> None:
    wrapper = TimeoutWrapper(MemoryStore())
    await wrapper.put("key", {"a": 1})
    assert await wrapper.get("key") == {"a": 1}
    assert await wrapper.get_many(["key"]) == [{"a": 1}]
    assert timers == []


async def test_the_wrapper_goes_on_after_a_timeout() -> None:
    store = HangingStore()
    wrapper = TimeoutWrapper(store, SOON)
    for _ in range(3):
        with pytest.raises(StoreTimeoutError):
            await wrapper.get("key")
    assert_nothing_is_left_behind()


@pytest.mark.parametrize("waits", [False, True])
async def test_a_timeout_of_the_inner_store_comes_out_as_it_is(*, waits: bool) -> None:
    error = TimeoutError("of the inner store")

    async def get() -> None:
        if waits:
            await asyncio.sleep(0)
        raise error

    with pytest.raises(TimeoutError) as raised:
        await TimeoutWrapper(ForeignStoreThat(get)).get("key")
    assert raised.value is error
    assert_nothing_is_left_behind()


async def test_an_error_that_comes_of_the_cancellation_comes_out_as_it_is() -> None:
    error = LookupError("while it let go")

    async def get() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise error

    with pytest.raises(LookupError) as raised:
        await TimeoutWrapper(ForeignStoreThat(get), SOON).get("key")
    assert raised.value is error
    assert_nothing_is_left_behind()


async def test_an_answer_in_spite_of_the_cancellation_is_the_answer() -> None:
    async def get() -> dict[str, Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
        return {"a": 1}

    assert await TimeoutWrapper(ForeignStoreThat(get), SOON).get("key") == {"a": 1}
    assert_nothing_is_left_behind()
    await asyncio.sleep(0)


async def test_an_error_of_what_the_call_waits_for_reaches_the_call() -> None:
    async def get() -> dict[str, Any]:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, LookupError("of the driver"))
        try:
            await future
        except LookupError as error:
            return {"caught": str(error)}
        return {}

    assert await TimeoutWrapper(ForeignStoreThat(get)).get("key") == {"caught": "of the driver"}


async def test_a_cancellation_by_the_caller_passes(timers: list[asyncio.TimerHandle]) -> None:
    store = HangingStore()
    call = asyncio.create_task(TimeoutWrapper(store).get("key"))
    await store.waiting.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.let_go
    assert [timer.cancelled() for timer in timers] == [True]


@pytest.mark.skipif(not COUNTS_CANCELLATIONS, reason="Python 3.10 does not tell one cancellation from two")
async def test_a_cancellation_by_the_caller_passes_when_the_time_is_up_too(timers: list[asyncio.TimerHandle]) -> None:
    store = HangingStore()
    call = asyncio.create_task(TimeoutWrapper(store, 100 * SOON).get("key"))
    await store.waiting.wait()
    asyncio.get_running_loop().call_at(timers[0].when(), call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call
    assert store.let_go


async def test_an_inner_timeout_that_is_up_first_counts() -> None:
    store = HangingStore()
    wrapper = TimeoutWrapper(TimeoutWrapper(store, SOON), 50)
    with pytest.raises(StoreTimeoutError, match=r"within 0\.005 seconds"):
        await wrapper.get("key")
    assert_nothing_is_left_behind()


async def test_timeouts_that_are_up_at_once_are_one_timeout() -> None:
    wrapper = TimeoutWrapper(TimeoutWrapper(TimeoutWrapper(HangingStore(), SOON), SOON), SOON)
    with pytest.raises(StoreTimeoutError):
        await wrapper.get("key")
    assert_nothing_is_left_behind()


async def test_a_timeout_is_worth_a_retry() -> None:
    store = HangingStore()
    with pytest.raises(StoreTimeoutError):
        await RetryWrapper(TimeoutWrapper(store, SOON), max_retries=2, initial_delay=0).get("key")
    assert store.attempts == 3


async def test_a_timeout_around_retries_ends_their_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "random", lambda: 1.0)
    inner = FailingStore(StoreConnectionError("the server is down"))
    with pytest.raises(StoreTimeoutError):
        await TimeoutWrapper(RetryWrapper(inner, initial_delay=3600, max_delay=3600), SOON).get("key")
    assert_nothing_is_left_behind()


async def test_concurrent_calls_are_timed_one_by_one() -> None:
    released = asyncio.Event()

    async def get() -> dict[str, Any]:
        await released.wait()
        return {"a": 1}

    store = ForeignStoreThat(get)
    calls = [TimeoutWrapper(store, seconds).get("key") for seconds in (SOON, 50, SOON, 50)]
    asyncio.get_running_loop().call_later(10 * SOON, released.set)
    late, first, late_too, second = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(late), type(late_too)] == [StoreTimeoutError, StoreTimeoutError]
    assert [first, second] == [{"a": 1}, {"a": 1}]


def test_it_serves_several_event_loops() -> None:
    wrapper = TimeoutWrapper(PatientStore())
    asyncio.run(wrapper.put("key", {"a": 1}))
    asyncio.run(wrapper.close())
    assert asyncio.run(wrapper.get("key")) == {"a": 1}


@pytest.mark.parametrize("timeout", [0, -1, 0.0, float("nan"), 10**400, True], ids=str)
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_timeout_that_is_not_above_zero_is_refused(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a finite number of seconds above zero"):
        TimeoutWrapper(MemoryStore(), timeout)


@pytest.mark.parametrize("timeout", [None, float("inf")])
async def test_without_a_timeout_a_call_takes_as_long_as_it_needs(timeout: float | None) -> None:
    inner = HangingStore()
    wrapper = TimeoutWrapper(inner, timeout)
    call = asyncio.create_task(wrapper.get("key"))
    await inner.waiting.wait()
    assert (call.done(), wrapper.timeout) == (False, float("inf"))
    call.cancel()
