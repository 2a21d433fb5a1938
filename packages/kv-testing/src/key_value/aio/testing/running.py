"""Async tests that need no plugin: each runs in an event loop of its own."""

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
    """Turns every `async def test_*` of a subclass into a test that pytest runs by itself.

    Plugins such as pytest-asyncio see plain functions and leave them alone. Arguments of a test that have a `close` are
    closed in its event loop.
    """

    time_limit: ClassVar[float] = 120.0
    """Seconds after which an unfinished test, or row of its table, fails, showing where it waits."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, test in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(test):
                setattr(cls, name, _synchronous(test))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in `run_in_loop`, within `time_limit`, and return its result."""
        return self.run_in_loop(bounded(coroutine, self.time_limit))

    def run_in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run the coroutine in a new event loop, and return its result. Override it if the store belongs to a loop."""
        return asyncio.run(coroutine)


@asynccontextmanager
async def closing(*stores: object) -> AsyncGenerator[None, None]:
    """Close the stores in this event loop, those that can be closed."""
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
    # pytest reads the names of the fixtures from the signature, which `wraps` passes on.
    @functools.wraps(test)
    def run(self: AsyncTests, **fixtures: Any) -> None:
        # The time limit is that of a row, where a test has a table.
        seconds = self.time_limit * max(1, len(getattr(test, "__rows__", ())))
        self.run_in_loop(bounded(_closing_afterwards(test(self, **fixtures), fixtures.values()), seconds))

    return run


async def _closing_afterwards(test: Coroutine[Any, Any, None], fixtures: Iterable[object]) -> None:
    async with closing(*fixtures):
        await test


async def bounded(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    """The result of the coroutine; fails the test, and shows where it waits, if it takes longer."""
    task = asyncio.ensure_future(coroutine)
    # Unlike wait_for, this tells a test that is late from one that raises TimeoutError.
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        stack = _stack_of(coroutine)
        task.cancel()
        pytest.fail(f"not done after {seconds:g} s, waiting at\n{stack}", pytrace=False)
    return task.result()


def _stack_of(coroutine: object) -> str:
    """Where a suspended coroutine waits; Task.get_stack() ends at its outermost frame."""
    frames: list[traceback.FrameSummary] = []
    while inspect.iscoroutine(coroutine) and coroutine.cr_frame is not None:
        code = coroutine.cr_code
        frames.append(traceback.FrameSummary(code.co_filename, coroutine.cr_frame.f_lineno, code.co_name))
        coroutine = coroutine.cr_await
    return "".join(traceback.format_list(frames))
