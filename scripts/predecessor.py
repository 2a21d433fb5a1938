"""The predecessor, py-key-value-aio, in an environment of its own, because it has our import paths.

A module for the programs and the tests. It changes nothing but the folder it is told to write to. Needs uv on PATH.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from workspace import Environment

__all__ = ["PREDECESSOR", "Predecessor", "predecessor_requirement"]

PREDECESSOR = "py-key-value-aio 0.5.0"

# The answers come first: DuckDB prints more when it is closed.
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
    """What to ask an installer for."""
    name, version = PREDECESSOR.split()
    return f"{name}[{','.join(extras)}]=={version}"


class Predecessor:
    """One of its backends, installed into the folder."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.environment = Environment(folder)
        self.environment.install(predecessor_requirement([backend]))
        self._module = f"key_value.aio.stores.{backend}"

    def call(self, store: str, *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        """Make the calls, each a method and its keyword arguments, one after the other in a process; their answers.

        `store` is an expression in the names of the backend's module, such as `RedisStore(url='redis://host')`.
        """
        # In a file: an argument ends at 128 KiB.
        with NamedTemporaryFile("w", encoding="utf-8", suffix=".json") as asked:
            json.dump(calls, asked)
            asked.flush()
            printed = self.environment.run("-W", "ignore", "-c", _PROGRAM, self._module, store, asked.name)
        return json.loads(printed.partition("\n")[0])
