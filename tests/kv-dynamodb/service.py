"""A DynamoDB proxy that injects failures which an emulator never shows, such as unprocessed batch items."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web
from http_service import Asked, HTTPService
from typing_extensions import override

JSON = "application/x-amz-json-1.0"


def refusal(code: str, message: str = "hunter2", status: int = 400) -> web.Response:
    """Return an error answer in DynamoDB's format."""
    text = json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message})
    return web.Response(status=status, text=text, content_type=JSON)


class Service(HTTPService):
    """An HTTP service with the operations of DynamoDB."""

    def __init__(self, server: str) -> None:
        super().__init__(server)
        self.max_per_batch = 1000
        """The number of batch items processed; the rest is left unprocessed."""

    def refuse(
        self, code: str, *, times: int = 1000, operation: str = "", status: int = 400, message: str = ""
    ) -> None:
        """Answer the next requests, or those for one operation, with an error."""
        self.answer(lambda: refusal(code, message, status), times=times, operation=operation)

    @override
    def operation_of(self, request: web.Request) -> tuple[str, str]:
        return request.headers["X-Amz-Target"].partition(".")[2], ""

    @override
    async def _forward(self, request: web.Request, asked: Asked) -> web.Response:
        body = asked.document
        left = self._cut_batch(body)
        answer = await super()._forward(request, asked._replace(body=json.dumps(body).encode()))
        answer.headers.pop("X-Amz-Crc32", None)
        if left:
            answer.text = json.dumps({**json.loads(answer.text or ""), **left})
        return answer

    def _cut_batch(self, body: dict[str, Any]) -> dict[str, Any]:
        """Remove what exceeds the limit from a batch, and return the part of the answer that reports it."""
        left: dict[str, Any] = {}
        requests: dict[str, Any] = body.get("RequestItems", {})
        for table, asked in requests.items():
            if "Keys" in asked:
                keys = asked["Keys"]
                asked["Keys"], rest = keys[: self.max_per_batch], keys[self.max_per_batch :]
                left = {"UnprocessedKeys": {table: {**asked, "Keys": rest}}} if rest else {}
            else:
                requests[table], rest = asked[: self.max_per_batch], asked[self.max_per_batch :]
                left = {"UnprocessedItems": {table: rest}} if rest else {}
        return left
