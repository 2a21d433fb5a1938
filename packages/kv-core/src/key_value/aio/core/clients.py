"""Clients of a service, one per event loop, created in a thread."""

import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from errno import ECONNABORTED
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from asyncio import Future

__all__ = ["ClientGetter", "GivenClient", "LoopClient", "check_client", "in_thread"]

T = TypeVar("T")

ClientGetter = Callable[[], Awaitable[Any]]

_POLL_INTERVAL_SECONDS = 0.05


def check_client(client: object, *kinds: type[Any], name: str = "client") -> None:
    """Raise TypeError unless the option `name` holds an instance of one of the classes.

    A blocking client has the same methods and would fail only at the first call.
    """
    if not isinstance(client, kinds):
        given = type(client)
        expected = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        message = f"{name} must be {expected}, not {given.__module__}.{given.__qualname__}"
        raise TypeError(message)


class GivenClient:
    """A client passed in by the caller, who also closes it."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self) -> Any:
        return self._client

    async def close(self) -> None:
        pass


class LoopClient:
    """The client of one event loop, created on first use in a thread, so that the loop is not blocked."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` may block; the event loop enters its result as an async context manager."""
        self._make = make
        self._client: Any = None
        self._closed = False
        self._making: Future[Any] | None = None

    async def get(self) -> Any:
        """Return the client. Raises ConnectionAbortedError after `close`, for calls that were in flight."""
        if self._client is not None:
            return self._client
        if self._closed:
            raise ConnectionAbortedError(ECONNABORTED, "the client was closed")
        from asyncio import ensure_future, shield

        if self._making is None or self._making.done():
            self._making = ensure_future(self._enter())
            self._making.add_done_callback(_mark_retrieved)
        # If this caller is cancelled, the creation continues for others or for the next call.
        return await shield(self._making)

    async def _enter(self) -> Any:
        client = await in_thread(self._make)
        self._client = await client.__aenter__()
        return self._client

    async def close(self) -> None:
        self._closed = True
        if self._making is not None and not self._making.done():
            with suppress(Exception):  # raised in `get`
                await self._making
        client, self._client, self._making = self._client, None, None
        if client is not None:
            await client.__aexit__(None, None, None)


async def in_thread(function: Callable[[], T]) -> T:
    """Call the function in a new thread and return its result.

    A forked child inherits a thread pool without its threads, which the pool does not notice.
    """
    from asyncio import wait, wrap_future
    from concurrent.futures import Future

    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except BaseException as exc:  # noqa: BLE001 — the caller gets it
            outcome.set_exception(exc)

    threading.Thread(target=call, name="key-value", daemon=True).start()
    result = wrap_future(outcome)
    # Poll: an event loop inherited by a fork may be woken in the other process.
    while not result.done():
        await wait([result], timeout=_POLL_INTERVAL_SECONDS)
    return result.result()


def _mark_retrieved(future: "Future[Any]") -> None:
    """Retrieve the exception, so that asyncio does not report it as unhandled if all callers were cancelled."""
    if not future.cancelled():
        future.exception()
