"""A fake Azure with the faults that the emulator never produces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from http_service import HTTPService
from typing_extensions import override
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Callable

    from http_service import Asked


def refusal(status: int, code: str) -> web.Response:
    """Return an error response as Azure sends it."""
    body = {"odata.error": {"code": code, "message": {"lang": "en-US", "value": "hunter2"}}}
    return web.json_response(body, status=status, headers={"Retry-After": "0"})


class Service(HTTPService):
    """A proxy that names operations by method and kind of resource: `GET entity`."""

    def __init__(self, server: str) -> None:
        super().__init__(str(URL(server).origin()))
        self.change: Callable[[bytes], bytes] = lambda answer: answer

    def refuse(self, status: int, *, times: int = 1000, code: str = "ServerBusy") -> None:
        """Answer the next requests with an error."""
        self.answer(lambda: refusal(status, code), times=times)

    @override
    def changed(self, asked: Asked, answer: bytes) -> bytes:
        return self.change(answer)

    @override
    def operation_of(self, request: web.Request) -> tuple[str, str]:
        path = request.path
        last = path.rpartition("/")[2] if "(" not in path else path.partition("(")[2]
        kinds = {"$batch": "$batch", "Tables": "Tables", ")": "query"}
        kind = "entity" if last.startswith("PartitionKey=") else kinds.get(last, "table")
        return f"{request.method} {kind}", path
