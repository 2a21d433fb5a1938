"""Object requests that bypass botocore's processing of each request, which takes two thirds of their time.

The client determines the address of the bucket, from its configuration and from redirects. From then on, this module
signs the object requests and sends them over the client's connections. Unusual responses are left to the client.
"""

import hmac
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from hashlib import sha256
from html import unescape
from io import BytesIO
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSPreparedRequest  # pyright: ignore[reportMissingTypeStubs] — no stubs exist
from key_value.aio.core.aws.errors import service_error

__all__ = ["ObjectClient", "RouteCache"]

_OPERATIONS: Mapping[str, str] = {
    "get_object": "GET",
    "head_object": "HEAD",
    "put_object": "PUT",
    "delete_object": "DELETE",
}
_HEADERS: Mapping[str, str] = {"ContentType": "content-type", "IfMatch": "if-match", "IfNoneMatch": "if-none-match"}
_METADATA = "x-amz-meta-"

_CODE = re.compile(r"<Code>([^<]{1,200})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,2000})</Message>")

# Redirections, which the client handles: many servers report with these that the bucket is in another region.
_UNUSUAL_STATUSES = frozenset({301, 302, 307, 308, 400})
_MIN_ERROR_STATUS = 300
_MAX_BODY_BYTES_UNSTREAMED = 2**20

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = frozenset({"content-type", "user-agent"})


class _Route(NamedTuple):
    """The address and signing parameters for the objects of a bucket."""

    base: str
    host: str
    path: str
    region: str
    service: str


class RouteCache:
    """The route to the bucket, once a client has reached it."""

    def __init__(self) -> None:
        self.route: _Route | None = None

    def learn(self, request: Any, signing_name: str, region_name: str, signature_version: str, **_: Any) -> None:
        """Take the route from a ListObjectsV2 request that a client is about to sign."""
        parts = urlsplit(str(request.url))
        if signature_version in ("v4", "s3v4") and "list-type=2" in parts.query:
            path = parts.path.rstrip("/") + "/"
            self.route = _Route(f"{parts.scheme}://{parts.netloc}", parts.netloc, path, region_name, signing_name)


class ObjectClient:
    """Sends requests for the objects of one bucket."""

    def __init__(self, client: Any, route_cache: RouteCache | None) -> None:
        """Without a route cache, as for a caller's client, all requests go through the client."""
        self.client = client
        self._route_cache = route_cache
        self._keys: dict[tuple[str, str], bytes] = {}
        if route_cache is not None:
            client.meta.events.register("before-sign.s3", route_cache.learn)
            _disable_retries(client._endpoint.http_session)  # noqa: SLF001 — the connections of the client

    async def send(self, operation: str, parameters: dict[str, Any]) -> Any:
        """Return the client's answer, with the text of an object as `Text`."""
        method = _OPERATIONS.get(operation)
        route = None if self._route_cache is None else self._route_cache.route
        if method is None or route is None or self._route_cache is None:
            return await self._send_by_client(operation, parameters)
        response = await self.client._endpoint.http_session.send(  # noqa: SLF001 — the connections of the client
            await self._signed_request(method, route, parameters)
        )
        status = response.status_code
        if status in _UNUSUAL_STATUSES:
            self._route_cache.route = None
            return await self._send_by_client(operation, parameters)
        text = await response.content
        if status >= _MIN_ERROR_STATUS:
            raise _client_error(operation, status, text)
        headers: Mapping[str, str] = response.headers
        answer: dict[str, Any] = {
            "ETag": headers.get("etag", ""),
            "Metadata": {
                name[len(_METADATA) :]: value for name, value in headers.items() if name.startswith(_METADATA)
            },
        }
        if operation == "get_object":
            answer["Text"] = text
        return answer

    async def _send_by_client(self, operation: str, parameters: dict[str, Any]) -> Any:
        answer = await getattr(self.client, operation)(**parameters)
        if operation == "get_object":
            async with answer.pop("Body") as body:
                answer["Text"] = await body.read()
        return answer

    async def _signed_request(self, method: str, route: _Route, parameters: Mapping[str, Any]) -> Any:
        """Return the signed request. https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
        path = route.path + quote(parameters["Key"], safe="/~")
        body: bytes = parameters.get("Body", b"")
        credentials = self.client._request_signer._credentials  # noqa: SLF001 — the client refreshes them
        frozen = await credentials.get_frozen_credentials()
        now = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        digest = sha256(body).hexdigest()
        headers = {_HEADERS[name]: value for name, value in parameters.items() if name in _HEADERS}
        headers |= {_METADATA + name: value for name, value in parameters.get("Metadata", {}).items()}
        headers |= {"host": route.host, "x-amz-content-sha256": digest, "x-amz-date": now}
        if frozen.token:
            headers["x-amz-security-token"] = frozen.token
        names = sorted(headers.keys() - _UNSIGNED)
        lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
        signed = ";".join(names)
        scope = f"{now[:8]}/{route.region}/{route.service}/aws4_request"
        request = f"{method}\n{path}\n\n{lines}\n{signed}\n{digest}"
        text = f"{_ALGORITHM}\n{now}\n{scope}\n{sha256(request.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(frozen.secret_key, scope), text.encode(), sha256).hexdigest()
        headers["authorization"] = (
            f"{_ALGORITHM} Credential={frozen.access_key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        )
        # aiohttp warns about a large body that is passed as bytes.
        data = BytesIO(body) if len(body) > _MAX_BODY_BYTES_UNSTREAMED else body or None
        return AWSPreparedRequest(method, route.base + path, headers, data, stream_output=False)

    def _signing_key(self, secret: str, scope: str) -> bytes:
        """Return the key derived from the secret for a day, region and service."""
        key = self._keys.get((secret, scope))
        if key is None:
            key = f"AWS4{secret}".encode()
            for part in scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._keys = {(secret, scope): key}
        return key


def _disable_retries(connections: Any) -> None:
    """Keep aiohttp from resending a request after a lost connection.

    It considers PUT and DELETE idempotent, which they are not with a condition: after an unnoticed success, the second
    attempt would fail its condition.
    """
    get_session = connections._get_session  # noqa: SLF001 — there is no option for it

    async def get_session_without_retries(*args: Any) -> Any:
        session = await get_session(*args)
        session._retry_connection = False  # noqa: SLF001 — see above
        return session

    connections._get_session = get_session_without_retries  # noqa: SLF001 — see above


def _client_error(operation: str, status: int, text: bytes) -> Exception:
    """Return the error that a client would raise."""
    shown = text[:5000].decode(errors="replace")
    code, message = _CODE.search(shown), _MESSAGE.search(shown)
    error = {
        "Code": unescape(code[1]) if code else str(status),
        "Message": unescape(message[1]) if message else "",
    }
    name = "".join(word.capitalize() for word in operation.split("_"))
    return service_error()({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, name)
