"""The only module that uses opensearch-py. Importing it takes most of a second."""

from copy import copy
from io import BytesIO
from typing import Any

from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.search.driver import ClientOptions, Refusal, Request
from key_value.aio.core.search.errors import SEARCH_ERRORS, connection_loss_reason, meaning_of
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError
from opensearchpy import AsyncOpenSearch, JSONSerializer, exceptions

__all__ = ["DRIVER", "DRIVER_ERRORS"]

_FILE_BODY_THRESHOLD_BYTES = 2**20


class _RawSerializer(JSONSerializer):
    """Passes bodies through unchanged: the store encodes and decodes them."""

    def dumps(self, data: Any) -> Any:
        # A file object, because aiohttp warns that large bytes block the event loop.
        return BytesIO(data) if isinstance(data, bytes) and len(data) > _FILE_BODY_THRESHOLD_BYTES else data

    def loads(self, s: str) -> Any:
        return s


class _StoreClient(AsyncOpenSearch):
    """The store's own client. Its time limit is off, because it takes 5 % of a request and the store has its own."""


class _OpenSearchDriver:
    client_type: type[Any] = AsyncOpenSearch
    errors: tuple[type[Exception], ...] = (exceptions.OpenSearchException, exceptions.ImproperlyConfigured)

    def make_client(self, options: ClientOptions) -> AsyncOpenSearch:
        serializer = _RawSerializer()
        return _StoreClient(
            hosts=[options.url],
            headers={} if options.api_key is None else {"authorization": f"ApiKey {options.api_key}"},
            serializer=serializer,
            serializers={serializer.mimetype: serializer},
            maxsize=options.max_connections,
            timeout=None,
            max_retries=0,
        )

    async def send(self, client: AsyncOpenSearch, request: Request, seconds: float | None) -> Any:
        transport: Any = client.transport
        if not request.repeatable and transport.max_retries:
            # A copy without retries, which shares the open connections.
            transport = copy(transport)
            transport.max_retries = 0
        return await transport.perform_request(
            request.method,
            request.path,
            params=dict(request.params) if request.params else None,
            body=request.body,
            timeout=None if isinstance(client, _StoreClient) else seconds,
            headers={"content-type": request.content_type},
        )

    def refusal(self, error: Exception) -> Refusal:
        if isinstance(error, exceptions.ConnectionTimeout):
            return Refusal(408)
        if isinstance(error, exceptions.ConnectionError) or not isinstance(error, exceptions.TransportError):
            return Refusal(0)
        return Refusal(int(error.status_code), str(error.error))


DRIVER = _OpenSearchDriver()

DRIVER_ERRORS: DriverErrors = {
    **SEARCH_ERRORS,
    exceptions.TransportError: lambda error: meaning_of(DRIVER.refusal(error)),
    exceptions.ConnectionError: (StoreConnectionError, connection_loss_reason),
    exceptions.ConnectionTimeout: (StoreTimeoutError, "the limit `timeout` was reached"),
    exceptions.SerializationError: (StoreSetupError, "the server is not OpenSearch"),
    exceptions.ImproperlyConfigured: (StoreSetupError, "opensearch-py does not take these options"),
}
