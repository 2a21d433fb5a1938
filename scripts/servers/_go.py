from __future__ import annotations

from typing import TYPE_CHECKING

from servers._cache import cache_root, install_once

if TYPE_CHECKING:
    from pathlib import Path


def go_root(module: str, version: str) -> Path:
    return cache_root(module.rpartition("/")[2], version)


def go_install(module: str, version: str) -> None:
    """Build and install the program, which takes minutes.

    :raises ServerUnavailableError: Go is not installed, or it fails.
    """
    root = go_root(module, version)
    environment = {"CGO_ENABLED": "0", "GOBIN": str(root)}
    install_once(root, "go", "https://go.dev", "install", f"{module}@v{version}", environment=environment)
