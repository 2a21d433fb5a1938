"""Real servers for the tests: one module for each in this folder, found by `discover`."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

from servers._group import ServerGroup
from servers._process import ProcessServer
from servers.base import Server, ServerStartError, ServerUnavailableError

__all__ = [
    "ProcessServer",
    "Server",
    "ServerGroup",
    "ServerStartError",
    "ServerUnavailableError",
    "discover",
]


def discover() -> dict[str, type[Server]]:
    """Return, by module name, the public server class of each module. It can be created without arguments."""
    found: dict[str, type[Server]] = {}
    for file in sorted(Path(__file__).parent.glob("[!_]*.py")):
        module = importlib.import_module(f"{__name__}.{file.stem}")
        for name, member in vars(module).items():
            own = inspect.isclass(member) and member.__module__ == module.__name__ and not name.startswith("_")
            if own and issubclass(member, Server) and not inspect.isabstract(member):
                found[file.stem] = member
    return found
