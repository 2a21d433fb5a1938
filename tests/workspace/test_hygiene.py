"""The tree itself: what no file may hold, and how the scripts and the workspace are laid out."""

import ast
import os
import re
from pathlib import Path

import pytest
from workspace import ROOT, tree_files

LOCK = Path("uv.lock")
FILES = tree_files()
SCRIPTS = [path for path in FILES if path.parts[0] == "scripts" and len(path.parts) == 2]

# Written so that no pattern matches its own text.
MACHINE_PATH = re.compile(r"(?<![\w.~-])(?:/(?:home|root|Users|work)/|[A-Z]:\\Users\\)[\w.]")
REGISTRY_HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com))\b")


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def header(script: Path) -> str:
    """The docstring of a Python script; of another the comment below the line that names its interpreter."""
    first, _, rest = text_of(script).partition("\n")
    if script.suffix == ".py" or "python" in first:
        return ast.get_docstring(ast.parse(text_of(script))) or ""
    return rest.partition("\n")[0].removeprefix("# ") if rest.startswith("# ") else ""


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["path of a machine", "host of a registry"])
def test_no_file_holds_what_is_true_of_one_machine_only(pattern: re.Pattern[str]) -> None:
    found = {path.as_posix(): match[0] for path in FILES if path != LOCK and (match := pattern.search(text_of(path)))}
    assert found == {}


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_says_at_its_top_what_it_does(script: Path) -> None:
    assert header(script)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_is_executable_exactly_when_it_names_its_interpreter(script: Path) -> None:
    assert os.access(ROOT / script, os.X_OK) == text_of(script).startswith("#!") == (script.suffix == "")


def test_the_workspace_finds_its_members_by_glob() -> None:
    assert '[tool.uv.workspace]\nmembers = ["packages/*"]\n' in text_of(Path("pyproject.toml"))
