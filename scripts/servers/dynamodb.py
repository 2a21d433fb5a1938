from __future__ import annotations

import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._cargo import cargo_install, cargo_root

if TYPE_CHECKING:
    from pathlib import Path

_CRATE, _VERSION = "dynoxide-rs", "3.2.0"
_FEATURES = ("--no-default-features", "--features", "native-sqlite,http-server,cli")


class DynamoDBServer(ProcessServer):
    """dynoxide, a third-party emulator of DynamoDB. It accepts any credentials and any region.

    A private server keeps its data on disk, and so across restarts.
    """

    environment_variable = "KV_TEST_DYNAMODB_URL"
    binary = "dynoxide"

    def __init__(self, *, private: bool = False) -> None:
        super().__init__(private=private)
        self._private = private

    @property
    def url(self) -> str:
        return self.external_url or f"http://{self.host}:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def program(self) -> Path:
        return cargo_root(_CRATE, _VERSION) / "bin" / self.binary

    @property
    def advice(self) -> str:
        return (
            f"{_CRATE} {_VERSION} is not installed: install cargo, which builds it in minutes, or set "
            f"{self.environment_variable} to the URL of a running server"
        )

    def installed_version(self) -> str:
        if not self.program.is_file():
            raise ServerUnavailableError(self.advice)
        # `--version` prints a different number.
        return f"emulator {_CRATE} {_VERSION}"

    def install(self) -> None:
        try:
            cargo_install(_CRATE, _VERSION, *_FEATURES)
        except ServerUnavailableError as error:
            msg = f"{self.advice} ({error})"
            raise ServerUnavailableError(msg) from error

    def command(self) -> list[str]:
        serve = [str(self.program), "serve", "--host", self.host, "--port", str(self.port), "--log", "quiet"]
        return [*serve, "--db-path", str(self.directory / "tables.db")] if self._private else serve

    def ready(self) -> bool:
        return bool(self._server_header())

    def running_version(self) -> str:
        return self.installed_version() if self.external_url is None else self._server_header()

    def _server_header(self) -> str:
        """Return the `Server` header of a response."""
        kind = http.client.HTTPSConnection if self.url.startswith("https:") else http.client.HTTPConnection
        connection = kind(*self.address, timeout=5)
        try:
            connection.request("GET", "/")
            return connection.getresponse().getheader("Server") or "unknown"
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
