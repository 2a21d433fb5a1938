from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._go import go_install, go_root

if TYPE_CHECKING:
    from pathlib import Path

_MODULE, _VERSION = "github.com/versity/versitygw/cmd/versitygw", "1.8.0"


class S3Server(ProcessServer):
    """versitygw, a third-party S3 server that keeps objects as files.

    The URL is `http://access-key:secret@host:port`.
    """

    environment_variable = "KV_TEST_S3_URL"
    binary = "versitygw"
    access_key, secret_key = "AKIAEXAMPLE", "correct/horse+battery"

    @property
    def url(self) -> str:
        if self.external_url:
            return self.external_url
        return f"http://{quote(self.access_key, safe='')}:{quote(self.secret_key, safe='')}@{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The URL without the credentials."""
        return endpoint_of(self.url)

    @property
    def credentials(self) -> tuple[str, str]:
        return credentials_of(self.url)

    @property
    def address(self) -> tuple[str, int]:
        return address_of(self.url)

    @property
    def program(self) -> Path:
        return go_root(_MODULE, _VERSION) / self.binary

    @property
    def advice(self) -> str:
        return (
            f"versitygw {_VERSION} is not installed: install Go, which builds it in minutes, or set "
            f"{self.environment_variable} to http://access-key:secret@host:port of a running server"
        )

    def installed_version(self) -> str:
        if not self.program.is_file():
            raise ServerUnavailableError(self.advice)
        # A program built by `go install` does not report its version.
        return f"versitygw {_VERSION}"

    def install(self) -> None:
        try:
            go_install(_MODULE, _VERSION)
        except ServerUnavailableError as error:
            msg = f"{self.advice} ({error})"
            raise ServerUnavailableError(msg) from error

    def prepare(self) -> None:
        for folder in ("objects", "users"):
            (self.directory / folder).mkdir()

    def command(self) -> list[str]:
        # --iam-dir enables users, so that a test can create one with fewer rights.
        return [
            *(str(self.program), "--port", f"{self.host}:{self.port}", "--quiet", "--keep-alive"),
            *("--access", self.access_key, "--secret", self.secret_key),
            *("--iam-dir", str(self.directory / "users"), "posix", str(self.directory / "objects")),
        ]

    def ready(self) -> bool:
        return bool(answering(self.url))

    def running_version(self) -> str:
        return self.installed_version() if self.external_url is None else answering(self.url)


def endpoint_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def credentials_of(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or "")


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def answering(url: str) -> str:
    """Return the `Server` header of an S3 response with XML, or "unknown".

    :raises OSError: there is no such response.
    """
    kind = http.client.HTTPSConnection if url.startswith("https:") else http.client.HTTPConnection
    connection = kind(*address_of(url), timeout=5)
    try:
        connection.request("GET", "/")
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.close()
    if re.search(r"<Error|<ListAllMyBucketsResult", text) is None:
        raise ConnectionError(text[:200])
    return answer.getheader("Server") or "unknown"
