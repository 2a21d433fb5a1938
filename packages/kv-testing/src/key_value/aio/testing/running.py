"""Async tests that need no plugin: each runs in an event loop of its own."""

import asyncio
import functools
import inspect
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import pytest

__all__ = ["AsyncTests", "Closable", "closing"]

T = TypeVar("T")


@runtime_checkable
class Closable(Protocol):
    async def close(self) -> None: ...


class AsyncTests:
    """Turns every `async def test_*` of a subclass into a test that pytest runs by itself.

    Plugins such as pytest-asyncio see plain functions and leave them alone. What the test was given is closed in its
    event loop when it has a `close`.
    """

    time_limit: ClassVar[float] = 60.0
    """Seconds after which a test that has not ended fails, with the place where it waits."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, test in list(vars(cls).items()):
            if name.startswith("test") and inspect.iscoroutinefunction(test):
                setattr(cls, name, _synchronous(test))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of the coroutine, run in a new event loop."""
        return asyncio.run(_bounded(coroutine, self.time_limit))


@asynccontextmanager
async def closing(*stores: object) -> AsyncGenerator[None, None]:
    """Close the stores in this event loop, those that can be closed."""
    try:
        yield
    finally:
        for store in stores:
            if isinstance(store, Closable):
                await store.close()


def _synchronous(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    # pytest reads the names of the fixtures from the signature, which `wraps` passes on.
    @functools.wraps(test)
    def run(self: AsyncTests, **fixtures: Any) -> None:
        self.run(_closing_afterwards(test(self, **fixtures), fixtures.values()))

    return run


async def _closing_afterwards(test: Coroutine[Any, Any, None], fixtures: Iterable[object]) -> None:
    async with closing(*fixtures):
        await test


async def _bounded(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    task = asyncio.ensure_future(coroutine)
    # Unlike wait_for, this tells a test that is late from one that raises TimeoutError.
    done, _ = await asyncio.wait([task], timeout=seconds)
    if not done:
        pytest.fail(f"not done after {seconds:g} s, waiting at\n{_stack_of(coroutine)}", pytrace=False)
    return task.result()


def _stack_of(coroutine: object) -> str:
    """Where a suspended coroutine waits; Task.get_stack() ends at its outermost frame."""
    frames: list[traceback.FrameSummary] = []
    while inspect.iscoroutine(coroutine) and coroutine.cr_frame is not None:
        code = coroutine.cr_code
        frames.append(traceback.FrameSummary(code.co_filename, coroutine.cr_frame.f_lineno, code.co_name))
        coroutine = coroutine.cr_await
    return "".join(traceback.format_list(frames))
