"""A fake Firestore with behaviour the emulator lacks: rate limits, failures, lost answers, request counts."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc.aio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from typing_extensions import Self

Refusal = tuple[grpc.StatusCode, str]

_PORT = 0  # any free port

Grpc: Any = grpc  # it is untyped
GenericRpcHandler: Any = grpc.GenericRpcHandler  # as above


class _Handler(GenericRpcHandler):
    def __init__(self, answer: Callable[..., AsyncIterator[bytes]]) -> None:
        self._answer = answer

    def service(self, handler_call_details: Any) -> Any:
        method: str = handler_call_details.method

        async def answer(request: bytes, context: Any) -> AsyncIterator[bytes]:
            async for each in self._answer(method, request, context):
                yield each

        # A unary response and a stream of one message are identical on the wire.
        return Grpc.unary_stream_rpc_method_handler(answer)


class Service:
    """Forwards requests to a server unless a rule refuses them, and records them."""

    def __init__(self, server: str) -> None:
        self._address = server
        self.requests: list[tuple[str, bytes]] = []
        self.rule: Callable[[str], Refusal | None] = lambda _: None
        self.drops_replies = False
        self.answers = asyncio.Event()
        self.answers.set()
        self.in_flight = 0
        self.arrived = asyncio.Event()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def methods(self) -> dict[str, int]:
        """Return how often each method was called since the last call of this function."""
        counted = Counter(method for method, _ in self.requests)
        self.requests.clear()
        return dict(counted)

    def refuse(self, code: grpc.StatusCode, message: str = "hunter2", *, times: int = 1000, method: str = "") -> None:
        """Answer the next requests, or those for one method, with an error."""
        left = times

        def rule(asked: str) -> Refusal | None:
            nonlocal left
            if method not in ("", asked) or not left:
                return None
            left -= 1
            return code, message

        self.rule = rule

    async def _answer(self, method: str, request: bytes, context: Any) -> AsyncIterator[bytes]:
        name = method.rpartition("/")[2]
        self.requests.append((name, request))
        self.in_flight += 1
        self.arrived.set()
        try:
            await self.answers.wait()
            refusal = self.rule(name)
            if refusal is not None:
                await context.abort(*refusal)
            metadata = [(key, value) for key, value in context.invocation_metadata() if not key.startswith("user-")]
            answers: list[bytes] = []
            try:
                answers = [each async for each in self._channel.unary_stream(method)(request, metadata=metadata)]
            except grpc.aio.AioRpcError as error:
                await context.abort(error.code(), error.details())
            if self.drops_replies:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "hunter2")
            for each in answers:
                yield each
        finally:
            self.in_flight -= 1

    async def __aenter__(self) -> Self:
        self._channel: Any = grpc.aio.insecure_channel(self._address)
        self._server: Any = grpc.aio.server()
        self._server.add_generic_rpc_handlers((_Handler(self._answer),))
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{_PORT}")
        await self._server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._server.stop(None)
        await self._channel.close()
