"""Every public name has a type that all type checkers infer equally, as counted by pyright --verifytypes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT, tree_files

SLICES = sorted(path.parent for path in tree_files() if path.name == "py.typed" and path.parts[0] == "packages")

# Number of names without a type, and with a type that other type checkers may infer differently.
INCOMPLETE = {
    # The classes of valkey-glide come from glide_shared, which has no py.typed.
    "key_value.aio.stores.valkey": (11, 0),
    # ReadOnlyWrapper, which copies four methods unchanged: a read takes 0.2 µs instead of 1.0.
    "key_value.aio.wrappers": (0, 5),
}


def module_of(folder: Path) -> str:
    return ".".join(folder.parts[folder.parts.index("src") + 1 :])


@pytest.mark.parametrize("module", [module_of(folder) for folder in SLICES])
def test_the_types_of_a_package_are_complete(module: str) -> None:
    command = [sys.executable, "-m", "pyright", "--verifytypes", module, "--ignoreexternal", "--outputjson"]
    # pyright searches for the package with the first Python in PATH, regardless of --pythonpath.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)  # noqa: S603
    counts = json.loads(run.stdout)["typeCompleteness"]["exportedSymbolCounts"]
    assert counts["withKnownType"] > 0
    assert (counts["withUnknownType"], counts["withAmbiguousType"]) == INCOMPLETE.get(module, (0, 0))
