"""The predecessor, py-key-value-aio, in a separate environment, because it has the same import paths as our packages.

A module for scripts and tests. It changes only the given folder. Needs uv on PATH.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from workspace import Environment

__all__ = ["PREDECESSOR", "Predecessor", "predecessor_requirement"]

PREDECESSOR = "py-key-value-aio 0.5.0"

# The results come first: DuckDB prints more when it is closed.
_PROGRAM = """
import asyncio, importlib, json, sys

async def main(module, expression, calls):
    store = eval(expression, vars(importlib.import_module(module)))
    print(json.dumps([await getattr(store, method)(**arguments) for method, arguments in json.load(open(calls))]))
    if hasattr(store, "close"):
        await store.close()

asyncio.run(main(*sys.argv[1:]))
"""


def predecessor_requirement(extras: Iterable[str]) -> str:
    """Return the requirement specifier of the predecessor with these extras."""
    name, version = PREDECESSOR.split()
    return f"{name}[{','.join(extras)}]=={version}"


class Predecessor:
    """The predecessor with one backend, installed into the folder."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.environment = Environment(folder)
        self.environment.install(predecessor_requirement([backend]))
        self._module = f"key_value.aio.stores.{backend}"

    def call(self, store: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Make the calls, each a method and its keyword arguments, in order in one process; return the results.

        `store` is an expression evaluated in the backend's module, such as `RedisStore(url='redis://host')`.
        """
        # Passed in a file: command-line arguments are limited to 128 KiB.
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as request_file:
            json.dump(calls, request_file)
            request_file.flush()
            printed = self.environment.run("-W", "ignore", "-c", _PROGRAM, self._module, store, request_file.name)
        return json.loads(printed.partition("\n")[0])
