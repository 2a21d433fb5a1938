"""FastMCP, which requires py-key-value-aio below 0.5, on our packages."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from workspace import Environment

if TYPE_CHECKING:
    from workspace import Wheel

APPLICATION = Path(__file__).with_name("fastmcp_application.py")
TELL_VERSION = "from importlib.metadata import version; print(version('py-key-value-aio'))"


class RedisServer(Protocol):
    @property
    def url(self) -> str: ...


def test_an_application_runs_on_our_packages(
    wheels: dict[str, Wheel], redis_server: RedisServer, tmp_path: Path
) -> None:
    environment = Environment(tmp_path / "venv")
    environment.install("py-key-value-aio[redis,wrappers-encryption]", "fastmcp", wheels=wheels)
    assert environment.run("-c", TELL_VERSION).strip() == "0.4.6+kv.1"
    files = tmp_path / "files"
    files.mkdir()
    assert environment.run(str(APPLICATION), redis_server.url, str(files)).strip().endswith('"all of it"')
