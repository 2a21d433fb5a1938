"""The driver interface: creates clients, sends requests and extracts the reason of a refusal."""

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
    """Whether it can be sent again when its outcome is unknown."""


class Refusal(NamedTuple):
    """The error response to a request. The server's message is not kept, because it can contain stored data."""

    status: int
    """HTTP status; 0 if there was no response, so that the outcome is unknown."""
    kind: str = ""
    """The error type, such as `index_not_found_exception`."""


class ClientOptions(NamedTuple):
    url: str
    api_key: str | None
    max_connections: int


class SearchDriver(Protocol):
    @property
    def client_type(self) -> type[Any]:
        """The class of clients that a caller can pass in."""
        ...

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """The exception classes that `send` raises, all of which are in the store's `driver_errors`."""
        ...

    def make_client(self, options: ClientOptions) -> Any:
        """Create a client that never retries a request and has no time limit of its own: the store has both.

        Runs in a thread; any event loop may use the client.
        """
        ...

    async def send(self, client: Any, request: Request, seconds: float | None) -> Any:
        """Send the request; return the response as JSON text (bytes or str), or decoded by the caller's client.

        A client passed in by the caller must not retry a request that is not repeatable either.
        """
        ...

    def refusal(self, error: Exception) -> Refusal:
        """Extract status and error type from an exception that `send` raised."""
        ...
