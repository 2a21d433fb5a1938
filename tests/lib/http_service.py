"""A service over HTTP that does what a small server never does: refuses, fails, is slow, loses answers, and counts."""

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

# They belong to one connection, or the other side writes them itself.
_OF_A_CONNECTION = frozenset(
    {"connection", "content-length", "date", "expect", "keep-alive", "server", "transfer-encoding"}
)


class Asked(NamedTuple):
    """A request that came."""

    operation: str
    name: str
    """What it is for: a path, or the name in it."""
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


class HTTPService:
    """Forwards requests to a server, unless a rule answers them; knows which requests came."""

    def __init__(self, server: str) -> None:
        self._server = server
        self.requests: list[Asked] = []
        self.rule: Callable[[Asked], web.Response | None] = lambda _asked: None
        self.loses_answers: Callable[[Asked], bool] = lambda _asked: False
        self.under_way = 0
        self.most_under_way = 0
        self.delay = 0.0
        self._together = 0
        self._met = asyncio.Event()
        self._come = asyncio.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def hold(self, count: int) -> None:
        """Answer no request until so many are under way at once; 0 answers all."""
        self._together = count
        self._met.clear()
        if self.under_way >= count:
            self._met.set()

    async def until_under_way(self, count: int) -> None:
        """Return once so many requests are, which `hold` keeps there."""
        while self.under_way < count:
            self._come.clear()
            await self._come.wait()

    def in_order(self) -> list[str]:
        """What was asked for since the last call."""
        operations = [asked.operation for asked in self.requests]
        self.requests.clear()
        return operations

    def operations(self) -> dict[str, int]:
        """How often each operation was asked for since the last call."""
        return dict(Counter(self.in_order()))

    def answer(self, make: Callable[[], web.Response], *, times: int = 1000, operation: str = "") -> None:
        """Answer the next requests, or those for one operation, in place of the server."""
        left = times

        def rule(asked: Asked) -> web.Response | None:
            nonlocal left
            if operation not in ("", asked.operation) or not left:
                return None
            left -= 1
            return make()

        self.rule = rule

    def operation_of(self, request: web.Request) -> tuple[str, str]:
        """What a request asks for, and the name it is for."""
        raise NotImplementedError

    def changed(self, asked: Asked, answer: bytes) -> bytes:
        """What becomes of an answer on its way back."""
        del asked
        return answer

    async def __aenter__(self) -> Self:
        self._session = ClientSession(auto_decompress=False)
        application = web.Application(client_max_size=256 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._handle)
        # With 0 it would wait for every answer that is held back.
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
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        self._come.set()
        try:
            if self.under_way >= self._together:
                self._met.set()
            await self._met.wait()
            await asyncio.sleep(self.delay)
            answer = self.rule(asked) or await self._forward(request, asked)
        finally:
            self.under_way -= 1
        if self.loses_answers(asked) and request.transport is not None:
            request.transport.abort()
        return answer

    async def _forward(self, request: web.Request, asked: Asked) -> web.Response:
        # With the host that was asked, which AWS signs, and the path as it came.
        headers = {name: value for name, value in asked.headers.items() if name.lower() not in _OF_A_CONNECTION}
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
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _OF_A_CONNECTION}
        if request.method == "HEAD":
            kept["Content-Length"] = answer.headers.get("Content-Length", "0")
        return web.Response(status=answer.status, body=body, headers=kept)
