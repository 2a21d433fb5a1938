"""Wheels and environments, created once and shared by all tests of the folder, and URLs of stores on real servers."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from workspace import ROOT, Environment, Wheel, build, interpreters

MakeEnvironment = Callable[..., Environment]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """The wheel of each package, built from the tree."""
    return build(ROOT, tmp_path_factory.mktemp("dist"), "--all-packages", "--wheel")


@pytest.fixture(scope="session", params=["oldest", "newest"])
def python(request: pytest.FixtureRequest) -> Path:
    """The oldest and the newest Python on this machine that the packages support."""
    found = list(interpreters().values())
    if request.param == "newest" and len(found) == 1:
        pytest.skip("only one Python found: pyenv or `uv python install` can add another")
    return found[0 if request.param == "oldest" else -1]


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Wheel]) -> MakeEnvironment:
    """Return a cached function that creates an environment with requirements, ours from the built wheels."""
    environments: dict[tuple[str | Path, ...], Environment] = {}

    def make(python: Path, *requirements: str | Path) -> Environment:
        arguments = (python, *requirements)
        if arguments not in environments:
            environment = Environment(tmp_path_factory.mktemp("environment") / "venv", python)
            environment.install(*requirements, wheels=wheels)
            environments[arguments] = environment
        return environments[arguments]

    return make


@pytest.fixture
def url_of(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Return a function for the URL of a store on a backend's server. AWS credentials are set in the environment."""

    def url_of(backend: str) -> str:
        server: Any = request.getfixturevalue(f"{backend}_server")
        if backend in ("opensearch", "elasticsearch"):
            host, port = server.address
            return f"{backend}://{host}:{port}/kv-workspace"
        if backend == "firestore":
            return f"firestore://kv-workspace?emulator_host={server.address}"
        if backend not in ("dynamodb", "s3"):
            return server.url
        if backend == "s3":
            access_key, secret = server.credentials
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        else:
            # The emulator accepts any credentials.
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", os.environ.get("AWS_ACCESS_KEY_ID", "key"))
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", os.environ.get("AWS_SECRET_ACCESS_KEY", "secret"))
        endpoint = getattr(server, "endpoint", server.url)
        return f"{backend}://kv-workspace?{urlencode({'region_name': 'us-east-1', 'endpoint_url': endpoint})}"

    return url_of
