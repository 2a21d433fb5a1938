"""An HTTP proxy that rejects, fails, delays and counts requests and drops replies on request."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from aiohttp import ClientSession, web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Self

# Headers that apply to a single connection, or that the other side sets itself.
_CONNECTION_HEADERS = frozenset(
    {"connection", "content-length", "date", "expect", "keep-alive", "server", "transfer-encoding"}
)


class Asked(NamedTuple):
    """A received request."""

    operation: str
    name: str
    """The target of the request: a path, or a name in it."""
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


class HTTPService:
    """Records requests and forwards them to a server, unless a rule answers them."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.requests: list[Asked] = []
        self.rule: Callable[[Asked], web.Response | None] = lambda _asked: None
        self.drops_replies: Callable[[Asked], bool] = lambda _asked: False
        self.in_flight = 0
        self.max_in_flight = 0
        self.delay = 0.0
        self._together = 0
        self._met = asyncio.Event()
        self._come = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self, count: int) -> None:
        """Answer no request until `count` requests are in flight; with 0, answer all."""
        self._together = count
        self._met.clear()
        if self.in_flight >= count:
            self._met.set()

    async def wait_for_in_flight(self, count: int) -> None:
        """Wait until `count` requests are in flight; call `hold` before."""
        while self.in_flight < count:
            self._come.clear()
            await self._come.wait()

    def in_order(self) -> list[str]:
        """Return the operations requested since the last call, in order."""
        operations = [asked.operation for asked in self.requests]
        self.requests.clear()
        return operations

    def operations(self) -> dict[str, int]:
        """Return the number of requests for each operation since the last call."""
        return dict(Counter(self.in_order()))

    def answer(self, make: Callable[[], web.Response], *, times: int = 1000, operation: str = "") -> None:
        """Answer the next `times` requests, or those for one operation, instead of the server."""
        left = times

        def rule(asked: Asked) -> web.Response | None:
            nonlocal left
            if operation not in ("", asked.operation) or not left:
                return None
            left -= 1
            return make()

        self.rule = rule

    def operation_of(self, request: web.Request) -> tuple[str, str]:
        """Return the operation of a request, and its target name."""
        raise NotImplementedError

    def changed(self, asked: Asked, answer: bytes) -> bytes:
        """Return the reply body to send to the client. Override it to modify replies."""
        del asked
        return answer

    async def __aenter__(self) -> Self:
        self._session = ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # With 0 it would wait for all held requests.
        self._runner = web.AppRunner(application, shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = Asked(*self.operation_of(request), dict(request.headers), await request.read())
        self.requests.append(asked)
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self._come.set()
        try:
            if self.in_flight >= self._together:
                self._met.set()
            await self._met.wait()
            await asyncio.sleep(self.delay)
            answer = self.rule(asked) or await self._forward(request, asked)
        finally:
            self.in_flight -= 1
        if self.drops_replies(asked) and request.transport is not None:
            request.transport.abort()
        return answer

    async def _forward(self, request: web.Request, asked: Asked) -> web.Response:
        # Keep the Host header, which AWS signs, and the raw path.
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in _CONNECTION_HEADERS}
        headers["Accept-Encoding"] = "identity"
        target = URL(self._server + request.raw_path, encoded=True)
        async with self._session.request(
            request.method,
            target,
            data=BytesIO(asked.body) if asked.body else None,
            headers=headers,
            allow_redirects=False,
        ) as answer:
            body = self.changed(asked, await answer.read())
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _CONNECTION_HEADERS}
        if request.method == "HEAD":
            kept["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status, body=body, headers=kept)
