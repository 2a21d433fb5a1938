"""Async tests without a plugin: each test runs in its own event loop."""

import asyncio
import functools
import inspect
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pytest

__all__ = ["AsyncTests", "Closable", "bounded", "closed_after", "closing"]

T = TypeVar("T")


@runtime_checkable
class Closable(Protocol):
    async def close(self) -> None: ...


class AsyncTests:
    """Turns every `async def test_*` of a subclass into a plain test that pytest runs without a plugin.

    Plugins such as pytest-asyncio see plain functions and ignore them. Arguments of a test that have a `close` method
    are closed in its event loop.
    """

    time_limit: ClassVar[float] = 120.0
    """Seconds after which an unfinished test, or an unfinished row of its table, fails with a stack trace."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, test in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(test):
                setattr(cls, name, _synchronous(test))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in `run_in_loop`, within `time_limit`, and return its result."""
        return self.run_in_loop(bounded(coroutine, self.time_limit))

    def run_in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in a new event loop, and return its result. Override it if the store needs a given loop."""
        return asyncio.run(coroutine)


@asynccontextmanager
async def closing(*stores: object) -> AsyncGenerator[None, None]:
    """Close the stores that have a `close` method, in this event loop."""
    try:
        yield
    finally:
        for store in stores:
            if isinstance(store, Closable):
                await store.close()


async def closed_after(store: object, use: Awaitable[T]) -> T:
    """Use the store, close it, and return the result."""
    async with closing(store):
        return await use


def _synchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    # pytest reads the names of the fixtures from the signature, which `wraps` preserves.
    @functools.wraps(test)
    def run(self: AsyncTests, **fixtures: Any) -> None:
        # For a test with a table, the time limit applies to each row.
        seconds = self.time_limit * max(1, len(getattr(test, "__rows__", ())))
        self.run_in_loop(bounded(_closing_afterwards(test(self, **fixtures), fixtures.values()), seconds))

    return run


async def _closing_afterwards(test: Coroutine[Any, Any, None], fixtures: Iterable[object]) -> None:
    async with closing(*fixtures):
        await test


async def bounded(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    """Return the result of the coroutine; fail the test with a stack trace if it takes longer."""
    task = asyncio.ensure_future(coroutine)
    # Unlike wait_for, this distinguishes a timeout from a TimeoutError of the test.
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        stack = _stack_of(coroutine)
        task.cancel()
        pytest.fail(f"not done after {seconds:g} s, waiting at\n{stack}", pytrace=False)
    return task.result()


def _stack_of(coroutine: object) -> str:
    """Return the stack of a suspended coroutine. Task.get_stack() has only the outermost frame."""
    frames: list[traceback.FrameSummary] = []
    while inspect.iscoroutine(coroutine) and coroutine.cr_frame is not None:
        code = coroutine.cr_code
        frames.append(traceback.FrameSummary(code.co_filename, coroutine.cr_frame.f_lineno, code.co_name))
        coroutine = coroutine.cr_await
    return "".join(traceback.format_list(frames))
