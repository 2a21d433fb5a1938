"""Wheels and environments, made once and shared by every test of the folder."""

from collections.abc import Callable
from pathlib import Path

import pytest
from workspace import ROOT, Environment, Wheel, build, interpreters

MakeEnvironment = Callable[..., Environment]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Wheel]:
    """A wheel of each package, built from the tree."""
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
    """An environment with the requirements in it, ours from the built wheels. The same arguments give the same one."""
    environments: dict[tuple[str | Path, ...], Environment] = {}

    def make(python: Path, *requirements: str | Path) -> Environment:
        arguments = (python, *requirements)
        if arguments not in environments:
            environment = Environment(tmp_path_factory.mktemp("environment") / "venv", python)
            environment.install(*requirements, wheels=wheels)
            environments[arguments] = environment
        return environments[arguments]

    return make
