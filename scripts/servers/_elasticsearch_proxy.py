"""A proxy that makes OpenSearch look like Elasticsearch. Arguments: its own port, and the port of OpenSearch."""

from __future__ import annotations

import gzip
import http.client
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
_RESPONSE_CONTENT_TYPE = "application/vnd.elasticsearch+json;compatible-with=9"
# Replaced only in requests about indices, because values may contain the same text.
_ELASTICSEARCH_FIELD_TYPE, _OPENSEARCH_FIELD_TYPE = b'"type":"flattened"', b'"type":"flat_object"'
_VERSION = {"number": "9.0.0", "build_flavor": "default"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    upstreams = threading.local()

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) if self._has_length() else self._chunks()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kind = "application/x-ndjson" if "ndjson" in self.headers.get("Content-Type", "") else "application/json"
        about_indices = self.path.partition("?")[0].count("/") == 1 or "/_mapping" in self.path
        if about_indices:
            body = body.replace(_ELASTICSEARCH_FIELD_TYPE, _OPENSEARCH_FIELD_TYPE)
        status, answer = self._ask(body or None, {"Content-Type": kind} if body else {})
        if about_indices:
            answer = answer.replace(_OPENSEARCH_FIELD_TYPE, _ELASTICSEARCH_FIELD_TYPE)
        if self.path == "/":
            answer = json.dumps({**json.loads(answer), "version": _VERSION, "tagline": "You Know, for Search"}).encode()
        self.send_response(status)
        self.send_header("X-Elastic-Product", "Elasticsearch")
        self.send_header("Content-Type", _RESPONSE_CONTENT_TYPE)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815 — names required by the base class

    def _has_length(self) -> bool:
        return "chunked" not in self.headers.get("Transfer-Encoding", "")

    def _chunks(self) -> bytes:
        chunks: list[bytes] = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _ask(self, body: bytes | None, headers: dict[str, str]) -> tuple[int, bytes]:
        connection: http.client.HTTPConnection | None = getattr(self.upstreams, "connection", None)
        if connection is None:
            connection = self.upstreams.connection = http.client.HTTPConnection(HOST, int(sys.argv[2]), timeout=60)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            self.upstreams.connection = None
            raise

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — name of the base class
        pass


class Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """Close the connection silently, as if the server were killed."""


if __name__ == "__main__":
    Proxy((HOST, int(sys.argv[1])), Handler).serve_forever()
