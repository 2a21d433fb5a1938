from __future__ import annotations

from typing import TYPE_CHECKING

from servers._cache import cache_root, install_once

if TYPE_CHECKING:
    from pathlib import Path


def cargo_root(crate: str, version: str) -> Path:
    return cache_root(crate, version)


def cargo_install(crate: str, version: str, *options: str) -> None:
    """Build and install the crate, which takes minutes.

    :raises ServerUnavailableError: cargo is not installed, or it fails.
    """
    root = cargo_root(crate, version)
    command = ("install", crate, "--version", version, *options, "--root", root)
    install_once(root, "cargo", "https://rustup.rs", *command)
