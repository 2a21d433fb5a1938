"""Every public name has a type that all type checkers see alike, as pyright --verifytypes counts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT, tree_files

SLICES = sorted(path.parent for path in tree_files() if path.name == "py.typed" and path.parts[0] == "packages")

# How many names have no type, and how many one that another type checker may infer differently.
INCOMPLETE = {
    # The classes of valkey-glide come from glide_shared, which has no py.typed.
    "key_value.aio.stores.valkey": (11, 0),
    # ReadOnlyWrapper, which takes four methods over as they are: 0.2 µs for a read instead of 1.0.
    "key_value.aio.wrappers": (0, 5),
}


def module_of(folder: Path) -> str:
    return ".".join(folder.parts[folder.parts.index("src") + 1 :])


@pytest.mark.parametrize("module", [module_of(folder) for folder in SLICES])
def test_the_types_of_a_package_are_complete(module: str) -> None:
    command = [sys.executable, "-m", "pyright", "--verifytypes", module, "--ignoreexternal", "--outputjson"]
    # It looks for the package where the first Python of PATH does, whatever --pythonpath says.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    counts = json.loads(run.stdout)["typeCompleteness"]["exportedSymbolCounts"]
    assert counts["withKnownType"] > 0
    assert (counts["withUnknownType"], counts["withAmbiguousType"]) == INCOMPLETE.get(module, (0, 0))
