import asyncio
import inspect

import pytest
from key_value.aio.testing import AsyncTests

LOOPS: list[asyncio.AbstractEventLoop] = []


class Resource:
    closed_in: asyncio.AbstractEventLoop | None = None

    async def close(self) -> None:
        self.closed_in = asyncio.get_running_loop()


class Example(AsyncTests):
    time_limit = 0.05

    async def test_that_passes(self, store: Resource) -> None:
        assert store.closed_in is None
        LOOPS.append(asyncio.get_running_loop())

    async def test_that_fails(self, store: Resource) -> None:
        assert store is None

    async def test_that_skips(self) -> None:
        pytest.skip("not here")

    async def test_that_hangs(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def test_that_raises_a_timeout(self) -> None:
        raise TimeoutError


class Derived(Example):
    async def test_of_its_own(self) -> None:
        await asyncio.sleep(0)


def test_an_async_test_needs_no_pytest_plugin() -> None:
    assert not inspect.iscoroutinefunction(Example.test_that_passes)
    assert not inspect.iscoroutinefunction(Derived.test_of_its_own)
    assert list(inspect.signature(Example.test_that_passes).parameters) == ["self", "store"]


def test_fixtures_are_closed_in_the_event_loop_of_the_test() -> None:
    store = Resource()
    getattr(Example(), "test_that_passes")(store=store)  # noqa: B009 — its type is no longer the declared one
    assert store.closed_in is LOOPS[-1]


def test_each_test_runs_in_its_own_event_loop() -> None:
    for _ in range(2):
        getattr(Example(), "test_that_passes")(store=Resource())  # noqa: B009
    assert LOOPS[-1] is not LOOPS[-2]
    assert LOOPS[-1].is_closed()


def test_a_failure_is_raised_after_closing() -> None:
    store = Resource()
    with pytest.raises(AssertionError):
        getattr(Example(), "test_that_fails")(store=store)  # noqa: B009
    assert store.closed_in is not None


def test_a_test_can_skip() -> None:
    with pytest.raises(pytest.skip.Exception, match="not here"):
        getattr(Example(), "test_that_skips")()  # noqa: B009


def test_a_hanging_test_fails_and_shows_where() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"(?s)not done after 0.05 s.*create_future"):
        getattr(Example(), "test_that_hangs")()  # noqa: B009


def test_a_timeout_error_raised_by_the_test_is_not_the_time_limit() -> None:
    with pytest.raises(TimeoutError):
        getattr(Example(), "test_that_raises_a_timeout")()  # noqa: B009
