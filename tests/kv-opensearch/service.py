"""A fake OpenSearch with answers that a node without the security plugin never gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from http_service import Asked, HTTPService
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable


def refusal(status: int, kind: str, reason: str = "hunter2") -> web.Response:
    """Return an error response as OpenSearch sends it."""
    error = {"type": kind, "reason": reason}
    return web.json_response({"error": {"root_cause": [error], **error}, "status": status}, status=status)


class Service(HTTPService):
    """A proxy that names operations by the last part of the path if it starts with `_`, else by method."""

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.change: Callable[[str, Any], Any] = lambda _operation, answer: answer
        """Changes each answer on its way back."""

    def refuse(self, status: int, kind: str, *, times: int = 1000, operation: str = "", reason: str = "") -> None:
        """Answer the next requests, or those for one operation, with an error."""
        self.answer(lambda: refusal(status, kind, reason), times=times, operation=operation)

    @override
    def operation_of(self, request: web.Request) -> tuple[str, str]:
        last = request.path.rpartition("/")[2]
        return last if last.startswith("_") else request.method, request.raw_path

    @override
    def changed(self, asked: Asked, answer: bytes) -> bytes:
        return json.dumps(self.change(asked.operation, json.loads(answer))).encode()
