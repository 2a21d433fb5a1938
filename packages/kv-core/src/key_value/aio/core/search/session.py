"""Requests to a server: with a time limit, repeated where that is safe, and finished before the client is closed."""

import sys
from asyncio import get_running_loop
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import Any, cast

from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.codec import load_object
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.core.requests import UnderWay, waited
from key_value.aio.core.search.driver import ClientOptions, Request, SearchDriver
from key_value.aio.core.search.errors import IncompleteAnswerError, StrangeAnswerError
from key_value.aio.errors import DeserializationError

__all__ = ["ClientMaker", "SearchSession"]

_TOO_MANY = 429
_UNAVAILABLE = frozenset({502, 503, 504})
_CLOSING_SECONDS = 5.0


class ClientMaker:
    """Makes clients of a driver, which is imported then."""

    def __init__(self, load_driver: Callable[[], SearchDriver], options: ClientOptions) -> None:
        self._load_driver = load_driver
        self._options = options

    def make(self) -> Any:
        return self._load_driver().make_client(self._options)


class SearchSession:
    """The requests of one event loop."""

    def __init__(
        self, load_driver: Callable[[], SearchDriver], opened: LoopClient | GivenClient, seconds: float | None
    ) -> None:
        self._load_driver = load_driver
        self._opened = opened
        self._seconds = seconds
        self._under_way = UnderWay()

    @cached_property
    def driver(self) -> SearchDriver:
        return self._load_driver()

    def operation(self, entries: int = 1) -> "Operation":
        """Bound what runs in it, which `close` waits for; gives the moment in the time of the loop when it is over."""
        return Operation(self, scaled_timeout(self._seconds, entries))

    async def begin(self) -> None:
        self._under_way.begin()
        try:
            # Importing the driver and making the client is not a part of it: the first one waits as long as it takes.
            await self._opened.get()
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        self._under_way.end()

    async def send(self, request: Request, deadline: float | None) -> dict[str, Any]:
        """The answer. What the server has surely not done is asked for again, until the deadline.

        What is repeatable is also asked for again when nobody knows whether it was done.
        """
        client, driver = await self._opened.get(), self.driver
        attempt = reconnections = 0
        while True:
            seconds = None if deadline is None else max(0.001, deadline - get_running_loop().time())
            try:
                return _decoded(await driver.send(client, request, seconds))
            except driver.errors as error:
                status = driver.refusal(error).status
                if status == 0 and request.repeatable and not reconnections:
                    # One that the server has closed while nobody used it, which shows only now.
                    reconnections += 1
                    continue
                if status != _TOO_MANY and not (request.repeatable and status in _UNAVAILABLE):
                    raise
                attempt += 1
                if not await waited(attempt, deadline):
                    raise

    async def close(self) -> None:
        await self._under_way.wait(_CLOSING_SECONDS)
        await self._opened.close()


class Operation:
    """What `SearchSession.operation` gives. As a generator it took 5 µs more, a fiftieth of a request."""

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


def _decoded(answer: Any) -> dict[str, Any]:
    if isinstance(answer, (bytes, str)):
        try:
            answer = load_object(answer)
        except DeserializationError as exc:
            raise StrangeAnswerError from exc
    if not isinstance(answer, dict):
        raise StrangeAnswerError
    answer = cast("dict[str, Any]", answer)
    # A part of an index that does not answer is left out otherwise.
    if answer.get("timed_out") is True or cast("dict[str, Any]", answer.get("_shards") or {}).get("failed"):
        raise IncompleteAnswerError
    return answer


def _timeout(seconds: float) -> Any:
    """A limit for what runs in it. What Python 3.10 needs for it comes with the packages of the stores."""
    if sys.version_info >= (3, 11):
        from asyncio import timeout
    else:
        from async_timeout import timeout
    return timeout(seconds)
