from __future__ import annotations

from typing import TYPE_CHECKING

from servers._cache import cache_root, install_once

if TYPE_CHECKING:
    from pathlib import Path


def npm_root(package: str, version: str) -> Path:
    """Return the folder in which `npm_install` installs the package."""
    return cache_root(package, version)


def npm_install(package: str, version: str) -> None:
    """Install the package and its dependencies without running install scripts.

    :raises ServerUnavailableError: npm is not installed, or it fails.
    """
    root = npm_root(package, version)
    options = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--prefix", root]
    install_once(root, "npm", "https://nodejs.org", "install", *options, f"{package}@{version}")
