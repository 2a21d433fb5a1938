"""Clients of a service, one for each event loop: made off it, and kept."""

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

_INTERVAL_SECONDS = 0.05


def check_client(client: object, *kinds: type[Any], name: str = "client") -> None:
    """Raise TypeError unless the option of this name is of one of the kinds.

    A client that blocks has the same methods, and would fail at the first call.
    """
    if not isinstance(client, kinds):
        given = type(client)
        expected = " or ".join(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds)
        message = f"{name} must be {expected}, not {given.__module__}.{given.__qualname__}"
        raise TypeError(message)


class GivenClient:
    """A client that was passed in, which is its owner's to close."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self) -> Any:
        return self._client

    async def close(self) -> None:
        pass


class LoopClient:
    """The client of one event loop, made at its first use by a thread, so that the loop runs on."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` blocks; what it returns is entered as an async context in the loop."""
        self._make = make
        self._client: Any = None
        self._closed = False
        self._making: Future[Any] | None = None

    async def get(self) -> Any:
        """Raises ConnectionAbortedError after `close`, for calls that were under way."""
        if self._client is not None:
            return self._client
        if self._closed:
            raise ConnectionAbortedError(ECONNABORTED, "the client was closed")
        from asyncio import ensure_future, shield

        if self._making is None or self._making.done():
            self._making = ensure_future(self._enter())
            self._making.add_done_callback(_retrieve)
        # It goes on for others, or for the next call, when this caller is cancelled.
        return await shield(self._making)

    async def _enter(self) -> Any:
        client = await in_thread(self._make)
        self._client = await client.__aenter__()
        return self._client

    async def close(self) -> None:
        self._closed = True
        if self._making is not None and not self._making.done():
            with suppress(Exception):  # whoever asked for the client gets it
                await self._making
        client, self._client, self._making = self._client, None, None
        if client is not None:
            await client.__aexit__(None, None, None)


async def in_thread(function: Callable[[], T]) -> T:
    """What the function returns, called in a thread of its own.

    A pool of threads that a forked child has inherited is without threads, and does not know.
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
    answer = wrap_future(outcome)
    # An event loop that a fork has doubled may be told in the other process.
    while not answer.done():
        await wait([answer], timeout=_INTERVAL_SECONDS)
    return answer.result()


def _retrieve(made: "Future[Any]") -> None:
    """Keep asyncio from reporting an error that all who waited for it were cancelled before."""
    if not made.cancelled():
        made.exception()
