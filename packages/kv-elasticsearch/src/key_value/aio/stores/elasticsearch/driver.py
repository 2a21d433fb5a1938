"""The one module that talks to elasticsearch-py. Importing it takes most of a second."""

import json
from contextlib import suppress
from io import BytesIO
from typing import Any

from elastic_transport import AiohttpHttpNode, JsonSerializer, NdjsonSerializer, Serializer
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.search.driver import ClientOptions, Refusal, Request
from key_value.aio.core.search.errors import SEARCH_ERRORS, lost_reason, meaning_of
from key_value.aio.errors import StoreConnectionError, StoreSetupError, StoreTimeoutError

from elasticsearch import ApiError, AsyncElasticsearch, exceptions

__all__ = ["DRIVER", "DRIVER_ERRORS"]

_JSON = "application/json"
_VENDORED = ("application/vnd.elasticsearch+json", _JSON)
_LINES = ("application/vnd.elasticsearch+x-ndjson", "application/x-ndjson")
_LARGEST_PIECE = 2**20


class _AsTheyAre(JsonSerializer):
    """Sends what is encoded and gives what is not decoded: the store does both."""

    def loads(self, data: bytes) -> Any:
        return data


class _LargeBody(BytesIO):
    """A file: aiohttp warns that it would block the event loop with large bytes."""

    def decode(self, *_: object) -> str:
        """What the driver logs of it, at the level DEBUG."""
        return f"{len(self.getbuffer())} bytes"


class _InPieces(AiohttpHttpNode):
    async def perform_request(self, method: str, target: str, body: Any = None, *args: Any, **options: Any) -> Any:
        if body is not None and len(body) > _LARGEST_PIECE:
            body = _LargeBody(body)
        return await super().perform_request(method, target, body, *args, **options)


class _ElasticsearchDriver:
    client_type: type[Any] = AsyncElasticsearch
    errors: tuple[type[Exception], ...] = (exceptions.ApiError, exceptions.TransportError)

    def make_client(self, options: ClientOptions) -> AsyncElasticsearch:
        serializers: dict[str, Serializer] = {}
        serializers.update((kind, _AsTheyAre()) for kind in _VENDORED)
        serializers.update((kind, NdjsonSerializer()) for kind in _LINES)
        return AsyncElasticsearch(
            hosts=[options.url],
            api_key=options.api_key,
            node_class=_InPieces,
            serializers=serializers,
            connections_per_node=options.max_connections,
            # The store's limit is enough; one of the client's own takes a twentieth of a request.
            request_timeout=None,
            max_retries=0,
        )

    async def send(self, client: AsyncElasticsearch, request: Request, seconds: float | None) -> Any:
        del seconds  # which the store sees to
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
        return Refusal(error.status_code, _kind(error.body)) if isinstance(error, ApiError) else Refusal(0)


def _kind(body: Any) -> str:
    """What the server calls it, where it is one."""
    with suppress(ValueError, LookupError, TypeError):
        return str((json.loads(body) if isinstance(body, (bytes, str)) else body)["error"]["type"])
    return ""


DRIVER = _ElasticsearchDriver()

DRIVER_ERRORS: DriverErrors = {
    **SEARCH_ERRORS,
    exceptions.ApiError: lambda error: meaning_of(DRIVER.refusal(error)),
    exceptions.TransportError: (StoreConnectionError, lost_reason),
    exceptions.ConnectionTimeout: (StoreTimeoutError, "the limit `timeout` was reached"),
    exceptions.SerializationError: (StoreSetupError, "what answers is no Elasticsearch"),
    exceptions.UnsupportedProductError: (StoreSetupError, "what answers is no Elasticsearch"),
}
