"""FastMCP on our packages: before its version 4.2 it requires an interface below 0.5, since then below 0.6."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from workspace import ROOT, Environment, build

if TYPE_CHECKING:
    from collections.abc import Callable

    from workspace import Wheel

APPLICATION = Path(__file__).with_name("fastmcp_application.py")
PRINT_VERSION = "from importlib.metadata import version; print(version('py-key-value-aio'))"
UMBRELLA = "py-key-value-aio"

FRAMEWORKS = {"0.5.0": "fastmcp>=4.2.3", "0.4.6": "fastmcp<4.2"}

BACKENDS = ("redis", "valkey", "postgresql", "dynamodb")


@pytest.fixture(scope="module", params=FRAMEWORKS)
def environment(
    request: pytest.FixtureRequest, wheels: dict[str, Wheel], tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    """An environment with FastMCP and the extras of the application."""
    dist = tmp_path_factory.mktemp("dist")
    built = build(ROOT, dist, "--package", UMBRELLA, "--wheel", KV_INTERFACE=request.param)
    environment = Environment(tmp_path_factory.mktemp("fastmcp") / "venv")
    extras = ",".join((*BACKENDS, "wrappers-encryption"))
    environment.install(f"{UMBRELLA}[{extras}]", FRAMEWORKS[request.param], wheels=wheels | built)
    assert environment.run("-c", PRINT_VERSION).strip() == f"{request.param}+kv.1"
    return environment


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_application_runs_on_our_packages(
    environment: Environment, backend: str, url_of: Callable[[str], str], tmp_path: Path
) -> None:
    assert environment.run(str(APPLICATION), url_of(backend), str(tmp_path)).strip().endswith('"all of it"')
