"""What a driver has to do: make clients, send requests, and tell what was refused."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

__all__ = ["JSON_LINES", "ClientOptions", "Refusal", "Request", "SearchDriver"]

_JSON = "application/json"
JSON_LINES = "application/x-ndjson"


class Request(NamedTuple):
    method: str
    path: str
    body: bytes | None = None
    params: Mapping[str, str] = {}
    content_type: str = _JSON
    repeatable: bool = True
    """Whether it may be sent again when nobody knows whether it was done."""


class Refusal(NamedTuple):
    """What a server answered instead of doing it. Its words are not kept: they may show what is stored."""

    status: int
    """Of HTTP; 0 where there was no answer, so that nobody knows whether it was done."""
    kind: str = ""
    """Such as `index_not_found_exception`."""


class ClientOptions(NamedTuple):
    url: str
    api_key: str | None
    max_connections: int


class SearchDriver(Protocol):
    @property
    def client_type(self) -> type[Any]:
        """Of the clients that a caller may pass in."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The classes of what `send` raises, all of which are in the store's table."""
        ...

    def make_client(self, options: ClientOptions) -> Any:
        """A client that never repeats a request by itself, and has no limit of time: the store has.

        It is made in a thread, for any event loop.
        """
        ...

    async def send(self, client: Any, request: Request, seconds: float | None) -> Any:
        """The answer, as bytes or str of JSON, or decoded as the caller's client does it.

        A request that is not repeatable must not be repeated by a client of the caller's either.
        """
        ...

    def refusal(self, error: Exception) -> Refusal: ...
