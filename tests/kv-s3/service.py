"""An S3 proxy that injects failures which a small server never shows."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from aiohttp import web
from http_service import HTTPService
from typing_extensions import override


def refusal(code: str, status: int = 503, message: str = "hunter2") -> web.Response:
    """Return an error answer in S3's format."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return web.Response(status=status, text=text, content_type="application/xml")


class Service(HTTPService):
    """An HTTP service with the operations of S3 and the bucket in the URL path."""

    def refuse(
        self, code: str, *, times: int = 1000, operation: str = "", status: int = 503, message: str = "hunter2"
    ) -> None:
        """Answer the next requests, or those for one operation, with an error."""
        self.answer(lambda: refusal(code, status, message), times=times, operation=operation)

    @override
    def operation_of(self, request: web.Request) -> tuple[str, str]:
        parts = urlsplit(request.raw_path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, _, name = parts.path[1:].partition("/")
        if not name:
            if "list-type" in query:
                return "ListObjectsV2", query.get("prefix", "")
            return {"HEAD": "HeadBucket", "PUT": "CreateBucket", "POST": "DeleteObjects"}[request.method], ""
        return f"{request.method.capitalize()}Object", unquote(name)
