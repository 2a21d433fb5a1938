"""A Vault proxy that injects failures which a small server never shows."""

from __future__ import annotations

from aiohttp import web
from http_service import HTTPService
from typing_extensions import override


def refusal(status: int, message: str = "hunter2") -> web.Response:
    return web.json_response({"errors": [message]}, status=status)


class Service(HTTPService):
    """An HTTP service with operations named by the method and the kind of path: `POST data`."""

    def __init__(self, server: str, mount_point: str) -> None:
        super().__init__(server)
        self._mount_point = mount_point

    def refuse(self, status: int, *, times: int = 1000, operation: str = "", message: str = "hunter2") -> None:
        """Answer the next requests, or those for one operation, with an error."""
        self.answer(lambda: refusal(status, message), times=times, operation=operation)

    @override
    def operation_of(self, request: web.Request) -> tuple[str, str]:
        kind, _, path = request.raw_path.removeprefix("/v1/").removeprefix(f"{self._mount_point}/").partition("/")
        path, _, query = path.partition("?")
        return f"{'LIST' if query == 'list=true' else request.method} {kind}", path
