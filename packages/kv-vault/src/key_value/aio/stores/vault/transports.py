"""Two transports for requests to Vault: the store's own HTTP connections, and a caller's hvac client."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

from key_value.aio.core.clients import in_thread

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Answer", "HTTPTransport", "HvacTransport", "Transport", "TransportError", "make_http"]

_MAX_BODY_BYTES_UNSTREAMED = 2**20
_REDIRECTIONS = frozenset({307, 308})


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]
    """The JSON object of the response, empty if it is not one."""

    @property
    def data(self) -> dict[str, Any]:
        found = self.body.get("data")
        return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType] — of JSON

    @property
    def errors(self) -> str:
        """Vault's error messages."""
        return " ".join(map(str, self.body.get("errors") or ()))


class TransportError(Exception):
    """No response was received; the cause has the reason."""


class Transport(Protocol):
    async def request(self, method: str, path: str, body: bytes | None) -> Answer:
        """Send a request for the quoted path below `/v1/`. Raises TransportError or TimeoutError."""
        ...


class HTTPTransport:
    """HTTP connections that belong to the event loop in which the transport is entered."""

    def __init__(self, aiohttp: Any, url: str, headers: dict[str, str], tls: Any, connections: int) -> None:
        self._aiohttp = aiohttp
        self._base = f"{url.rstrip('/')}/v1/"
        self._headers = headers
        self._tls = tls
        self._connections = connections
        self._session: Any = None

    async def __aenter__(self) -> "Self":
        from urllib.request import getproxies

        aiohttp = self._aiohttp
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=self._tls),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=bool(getproxies()),
        )
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._session.close()

    async def request(self, method: str, path: str, body: bytes | None) -> Answer:
        url = self._base + path
        try:
            status, text, location = await self._request(method, url, body)
            # A standby server redirects to the active one. The token is resent, so never follow from TLS to plain text.
            target = urljoin(url, location)
            if status in _REDIRECTIONS and urlsplit(target).scheme == urlsplit(url).scheme:
                status, text, _ = await self._request(method, target, body)
        except self._aiohttp.ClientError as error:
            raise TransportError from error
        return Answer(status, _object_in(text))

    async def _request(self, method: str, url: str, body: bytes | None) -> tuple[int, bytes, str]:
        from yarl import URL

        # aiohttp warns about a large body that is passed as bytes.
        data = BytesIO(body) if body is not None and len(body) > _MAX_BODY_BYTES_UNSTREAMED else body
        answer = await self._session.request(method, URL(url, encoded=True), data=data, allow_redirects=False)
        async with answer:
            return answer.status, await answer.read(), answer.headers.get("Location", "")


class HvacTransport:
    """A caller's client. It blocks, so each request runs in a thread."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def request(self, method: str, path: str, body: bytes | None) -> Answer:
        return await in_thread(partial(self._request, method, path, body))

    def _request(self, method: str, path: str, body: bytes | None) -> Answer:
        from requests import RequestException, Timeout

        try:
            answer = self._client.adapter.request(
                method.lower(),
                f"/v1/{path}",
                headers={"Content-Type": "application/json"},
                raise_exception=False,
                data=body,
            )
        except Timeout as error:
            raise TimeoutError from error
        except RequestException as error:
            raise TransportError from error
        # hvac's default adapter returns the JSON object itself for a success.
        if isinstance(answer, dict):
            return Answer(200, answer)
        return Answer(answer.status_code, _object_in(answer.content))


def make_http(url: str, token: str | None, namespace: str | None, connections: int) -> Callable[[], HTTPTransport]:
    """Return a factory of transports. It blocks: the first call imports aiohttp, for a third of a second."""

    def make() -> HTTPTransport:
        import aiohttp

        headers = {"Content-Type": "application/json", "X-Vault-Request": "true"}
        if (found := token or _default_token()) is not None:
            headers["X-Vault-Token"] = found
        if namespace is not None:
            headers["X-Vault-Namespace"] = namespace
        return HTTPTransport(aiohttp, url, headers, _tls(url), connections)

    return make


def _default_token() -> str | None:
    """Return the token from the places where Vault's command line and hvac look for it."""
    token = os.environ.get("VAULT_TOKEN", "")
    if not token:
        with suppress(OSError, RuntimeError):
            token = Path("~/.vault-token").expanduser().read_text(encoding="utf-8")
    return token.strip() or None


def _tls(url: str) -> Any:
    if not url.startswith("https:"):
        return True
    from ssl import create_default_context

    # The same environment variables for certificate authorities as Vault's command line and hvac.
    return create_default_context(
        cafile=os.environ.get("VAULT_CACERT") or None, capath=os.environ.get("VAULT_CAPATH") or None
    )


def _object_in(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}  # pyright: ignore[reportUnknownVariableType] — of JSON
