"""The only module that uses elasticsearch-py. Importing it takes most of a second."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

from elastic_transport import AiohttpHttpNode, JsonSerializer, NdjsonSerializer, Serializer
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.search.driver import ClientOptions, Refusal, Request
from key_value.aio.core.search.errors import SEARCH_ERRORS, connection_loss_reason, meaning_of
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError

from elasticsearch import ApiError, AsyncElasticsearch, exceptions

__all__ = ["DRIVER", "DRIVER_ERRORS"]

_JSON = "application/json"
_JSON_TYPES = ("application/vnd.elasticsearch+json", _JSON)
_NDJSON_TYPES = ("application/vnd.elasticsearch+x-ndjson", "application/x-ndjson")
_FILE_BODY_THRESHOLD_BYTES = 2**20


class _RawSerializer(JsonSerializer):
    """Passes bodies through unchanged: the store encodes and decodes them."""

    def loads(self, data: bytes) -> Any:
        return data


class _LargeBody(BytesIO):
    """A body as a file object, because aiohttp warns that large bytes block the event loop."""

    def decode(self, *_: object) -> str:
        """Return the text that the driver logs at level DEBUG."""
        return f"{len(self.getbuffer())} bytes"


class _FileBodyNode(AiohttpHttpNode):
    async def perform_request(self, method: str, target: str, body: Any = None, *args: Any, **options: Any) -> Any:
        if body is not None and len(body) > _FILE_BODY_THRESHOLD_BYTES:
            body = _LargeBody(body)
        return await super().perform_request(method, target, body, *args, **options)


class _ElasticsearchDriver:
    client_type: type[Any] = AsyncElasticsearch
    errors: tuple[type[Exception], ...] = (exceptions.ApiError, exceptions.TransportError)

    def make_client(self, options: ClientOptions) -> AsyncElasticsearch:
        serializers: dict[str, Serializer] = {}
        serializers.update((kind, _RawSerializer()) for kind in _JSON_TYPES)
        serializers.update((kind, NdjsonSerializer()) for kind in _NDJSON_TYPES)
        return AsyncElasticsearch(
            hosts=[options.url],
            api_key=options.api_key,
            node_class=_FileBodyNode,
            serializers=serializers,
            connections_per_node=options.max_connections,
            # Off, because it takes 5 % of a request and the store has its own time limit.
            request_timeout=None,
            max_retries=0,
        )

    async def send(self, client: AsyncElasticsearch, request: Request, seconds: float | None) -> Any:
        del seconds  # the store enforces the time limit
        sender = client if request.repeatable else client.options(max_retries=0)
        answer = await sender.perform_request(
            request.method,
            request.path,
            params=request.params,
            body=request.body,
            headers={"accept": _JSON, "content-type": request.content_type},
        )
        return answer.body

    def refusal(self, error: Exception) -> Refusal:
        if isinstance(error, exceptions.ConnectionTimeout):
            return Refusal(408)
        return Refusal(error.status_code, _error_type(error.body)) if isinstance(error, ApiError) else Refusal(0)


def _error_type(body: Any) -> str:
    """Return the server's type of the error; empty if the body has none."""
    with suppress(ValueError, LookupError, TypeError):
        return str((json.loads(body) if isinstance(body, (bytes, str)) else body)["error"]["type"])
    return ""


DRIVER = _ElasticsearchDriver()

DRIVER_ERRORS: DriverErrors = {
    **SEARCH_ERRORS,
    exceptions.ApiError: lambda error: meaning_of(DRIVER.refusal(error)),
    exceptions.TransportError: (StoreConnectionError, connection_loss_reason),
    exceptions.ConnectionTimeout: (StoreTimeoutError, "the limit `timeout` was reached"),
    exceptions.SerializationError: (StoreSetupError, "the server is not Elasticsearch"),
    exceptions.UnsupportedProductError: (StoreSetupError, "the server is not Elasticsearch"),
}
