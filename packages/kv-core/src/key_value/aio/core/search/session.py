"""Requests to a server: with a time limit, retried where that is safe, and finished before the client is closed."""

import sys
from asyncio import get_running_loop
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Any, cast

from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.codec import load_object
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import InFlightCalls, waited
from key_value.aio.core.search.driver import ClientOptions, Request, SearchDriver
from key_value.aio.core.search.errors import IncompleteResponseError, UnexpectedResponseError
from key_value.aio.errors import DeserializationError

__all__ = ["ClientMaker", "SearchSession"]

_STATUS_TOO_MANY_REQUESTS = 429
_STATUSES_UNAVAILABLE = frozenset({502, 503, 504})
_MIN_REQUEST_SECONDS = 0.001
_CLOSE_TIMEOUT_SECONDS = 5.0


class ClientMaker:
    """Creates clients of a driver, importing the driver when needed."""

    def __init__(self, load_driver: Callable[[], SearchDriver], options: ClientOptions) -> None:
        self._load_driver = load_driver
        self._options = options

    def make(self) -> Any:
        return self._load_driver().make_client(self._options)


class SearchSession:
    """The requests of one event loop."""

    def __init__(
        self, load_driver: Callable[[], SearchDriver], client: LoopClient | GivenClient, seconds: float | None
    ) -> None:
        self._load_driver = load_driver
        self._client = client
        self._seconds = seconds
        self._in_flight = InFlightCalls()

    @cached_property
    def driver(self) -> SearchDriver:
        return self._load_driver()

    def operation(self, entries: int = 1) -> "Operation":
        """Return an async context manager for an operation that `close` waits for.

        It enforces the time limit and yields the deadline in the event loop's time, None without a limit.
        """
        return Operation(self, scaled_timeout(self._seconds, entries))

    async def begin(self) -> None:
        self._in_flight.begin()
        try:
            # Outside the time limit: the first operation waits as long as importing the driver takes.
            await self._client.get()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self._in_flight.end()

    async def send(self, request: Request, deadline: float | None) -> dict[str, Any]:
        """Send the request and return the response.

        Until the deadline, retries a request that the server has certainly not executed, and a repeatable one also if
        its outcome is unknown.
        """
        client, driver = await self._client.get(), self.driver
        attempt = reconnections = 0
        while True:
            seconds = None if deadline is None else max(_MIN_REQUEST_SECONDS, deadline - get_running_loop().time())
            try:
                return _decoded(await driver.send(client, request, seconds))
            except driver.errors as error:
                status = driver.refusal(error).status
                if status == 0 and request.repeatable and not reconnections:
                    # The server may have closed an idle connection, which only a request detects.
                    reconnections += 1
                    continue
                if status != _STATUS_TOO_MANY_REQUESTS and not (request.repeatable and status in _STATUSES_UNAVAILABLE):
                    raise
                attempt += 1
                if not await waited(attempt, deadline):
                    raise

    async def close(self) -> None:
        await self._in_flight.wait(_CLOSE_TIMEOUT_SECONDS)
        await self._client.close()


class Operation:
    """The result of `SearchSession.operation`. As a generator it took 5 µs more, a fiftieth of a request."""

    __slots__ = ("_limit", "_seconds", "_session")

    def __init__(self, session: SearchSession, seconds: float | None) -> None:
        self._session = session
        self._seconds = seconds
        self._limit: Any = None

    async def __aenter__(self) -> float | None:
        await self._session.begin()
        if self._seconds is None:
            return None
        self._limit = _timeout(self._seconds)
        await self._limit.__aenter__()
        return get_running_loop().time() + self._seconds

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._limit is not None:
                await self._limit.__aexit__(kind, error, traceback)
        finally:
            self._session.end()


def _decoded(response: Any) -> dict[str, Any]:
    if isinstance(response, (bytes, str)):
        try:
            response = load_object(response)
        except DeserializationError as exc:
            raise UnexpectedResponseError from exc
    if not isinstance(response, dict):
        raise UnexpectedResponseError
    response = cast("dict[str, Any]", response)
    # Without this check, the results of failed shards would silently be missing.
    if response.get("timed_out") is True or cast("dict[str, Any]", response.get("_shards") or {}).get("failed"):
        raise IncompleteResponseError
    return response


def _timeout(seconds: float) -> Any:
    """Return `asyncio.timeout(seconds)`, for Python 3.10 from async_timeout, a dependency of the stores."""
    if sys.version_info >= (3, 11):
        from asyncio import timeout
    else:
        from async_timeout import timeout
    return timeout(seconds)
