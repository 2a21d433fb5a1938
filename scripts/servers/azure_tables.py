from __future__ import annotations

import http.client
import shutil
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._npm import npm_install, npm_root

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGE, _VERSION = "azurite", "3.35.0"
_ACCOUNT = "kvtest"
_KEY = b64encode(b"correct-horse-battery").decode()


class AzureTablesServer(ProcessServer):
    """Azurite, Microsoft's emulator of Azure Storage, with only the table service.

    It checks signatures, and keeps its data on disk across restarts.
    """

    environment_variable = "KV_TEST_AZURE_TABLES_CONNECTION_STRING"
    binary = "node"

    @property
    def url(self) -> str:
        """The endpoint of the account, without its key."""
        if self.external_url is None:
            return f"http://{self.host}:{self.port}/{_ACCOUNT}"
        return self._parts["TableEndpoint"].rstrip("/")

    @property
    def environment_value(self) -> str:
        return self.connection_string

    @property
    def connection_string(self) -> str:
        account = f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY}"
        return self.external_url or f"{account};TableEndpoint={self.url};"

    @property
    def account(self) -> tuple[str, str]:
        """The name and key of the account."""
        return self._parts["AccountName"], self._parts["AccountKey"]

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)

    @property
    def _parts(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self.connection_string.split(";") if part)
        return {name: value for name, _, value in pairs}

    @property
    def program(self) -> Path:
        return npm_root(_PACKAGE, _VERSION) / "node_modules/azurite/dist/src/table/main.js"

    @property
    def advice(self) -> str:
        return (
            f"{_PACKAGE} {_VERSION} is not installed: install node and npm, which fetches it in minutes, or set "
            f"{self.environment_variable} to the connection string of an account"
        )

    def installed_version(self) -> str:
        if shutil.which(self.binary) is None or not self.program.is_file():
            raise ServerUnavailableError(self.advice)
        return f"emulator {_PACKAGE} {_VERSION}"

    def install(self) -> None:
        try:
            npm_install(_PACKAGE, _VERSION)
        except ServerUnavailableError as error:
            msg = f"{self.advice} ({error})"
            raise ServerUnavailableError(msg) from error

    def command(self) -> list[str]:
        place = ["--tableHost", self.host, "--tablePort", str(self.port), "-l", str(self.directory)]
        options = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
        # `env`, because the account can only be set in the environment.
        return ["env", f"AZURITE_ACCOUNTS={_ACCOUNT}:{_KEY}", self.binary, str(self.program), *place, *options]

    def ready(self) -> bool:
        """Return whether it responds; a request without a signature is rejected."""
        kind = http.client.HTTPSConnection if self.url.startswith("https:") else http.client.HTTPConnection
        connection = kind(*self.address, timeout=5)
        try:
            connection.request("GET", f"{urlsplit(self.url).path}/Tables")
            connection.getresponse().read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return True
