"""The tree itself: content forbidden in all files, and the layout of the scripts and the workspace."""

import ast
import os
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest
from checks import CORE_PACKAGES, CORE_REQUIREMENTS
from workspace import ROOT, tree_files

LOCK = Path("uv.lock")
FILES = tree_files()
SCRIPTS = [path for path in FILES if path.parts[0] == "scripts" and len(path.parts) == 2]

# The patterns do not match their own source text.
MACHINE_PATH = re.compile(r"(?<![\w.~-])(?:/(?:home|root|Users|work)/|[A-Z]:\\Users\\)[\w.]")
REGISTRY_HOST = re.compile(r"\b(?:pypi\.org|pythonhosted\.org|npmjs\.(?:org|com))\b")


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8", errors="replace")


def header(script: Path) -> str:
    """Return the docstring of a Python script, or the comment below the interpreter line of another."""
    first, _, rest = text_of(script).partition("\n")
    if script.suffix == ".py" or "python" in first:
        return ast.get_docstring(ast.parse(text_of(script))) or ""
    return rest.partition("\n")[0].removeprefix("# ") if rest.startswith("# ") else ""


def modules_imported(tree: ast.Module) -> set[str]:
    """Return the modules of the workspace that the tree imports with `from`, at any level."""
    names = (node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {name for name in names if name.startswith("key_value.aio.")}


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_file_contains_a_machine_specific_path_or_host(pattern: re.Pattern[str]) -> None:
    found = {path.as_posix(): match[0] for path in FILES if path != LOCK and (match := pattern.search(text_of(path)))}
    assert found == {}


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_starts_with_a_description(script: Path) -> None:
    assert header(script)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_is_executable_if_and_only_if_it_names_its_interpreter(script: Path) -> None:
    assert os.access(ROOT / script, os.X_OK) == text_of(script).startswith("#!") == (script.suffix == "")


def test_python_programs_without_a_suffix_are_linted_and_type_checked() -> None:
    programs = {script.as_posix() for script in SCRIPTS if not script.suffix and "python" in text_of(script)[:40]}
    named = Counter(re.findall(r'"(scripts/\w+)"', text_of(Path("pyproject.toml"))))
    assert programs
    assert named == dict.fromkeys(programs, 2)


def test_the_workspace_finds_its_members_by_glob() -> None:
    assert '[tool.uv.workspace]\nmembers = ["packages/*"]\n' in text_of(Path("pyproject.toml"))


def test_the_tests_of_core_packages_import_only_core_requirements() -> None:
    modules = [path for path in FILES if path.parts[0] == "tests" and path.parts[1] in CORE_PACKAGES]
    imported = {name for path in modules for name in modules_imported(ast.parse(text_of(path)))}
    origins = {name: Path(spec.origin) for name in imported if (spec := find_spec(name)) and spec.origin}
    homes = {name: origin.relative_to(ROOT / "packages").parts[0] for name, origin in origins.items()}
    assert {name: home for name, home in homes.items() if home not in CORE_REQUIREMENTS} == {}
    assert set(CORE_PACKAGES) < set(homes.values())
