"""The store built in docs/writing-a-store.md, tested as described on the page."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from workspace import ROOT

PAGE = ROOT / "docs/writing-a-store.md"
FILE = re.compile(
    r"to save as `(?P<name>\w+\.py)`:\n\n(?:<!--[^\n]*-->\n)?```python\n(?P<text>.*?)^```$",
    re.IGNORECASE | re.MULTILINE | re.DOTALL,
)
FILES = {file["name"]: file["text"] for file in FILE.finditer(PAGE.read_text(encoding="utf-8"))}
STORE, TESTS = "sqlite_store.py", "test_sqlite_store.py"


def check(tmp_path: Path, *command: str) -> str:
    """Run the command with this Python among the files of the page and return its output; it must succeed."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # Disable pytest-asyncio, which the kit does not need and which warns about a setting missing in this folder.
    environment = {**os.environ, "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider"}
    done = subprocess.run(  # noqa: S603 — our own command
        [sys.executable, *command],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return done.stdout


def test_the_page_contains_a_store_and_its_tests() -> None:
    assert list(FILES) == [STORE, TESTS]


def test_a_complete_store_has_under_60_lines() -> None:
    assert len(FILES[STORE].splitlines()) < 60


def test_the_store_passes_the_conformance_kit(tmp_path: Path) -> None:
    printed = check(tmp_path, "-m", "pytest", "-W", "error", TESTS)
    passed = re.search(r"(\d+) passed", printed)
    assert passed
    assert int(passed[1]) > 130


@pytest.mark.parametrize("checker", [("pyright",), ("mypy", "--strict")], ids=" ".join)
def test_the_store_type_checks_in_strict_mode(tmp_path: Path, checker: tuple[str, ...]) -> None:
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}', encoding="utf-8")
    options = {"pyright": ("--pythonpath", sys.executable), "mypy": ("--python-executable", sys.executable)}
    check(tmp_path, "-m", *checker, *options[checker[0]], STORE)


def test_the_store_is_formatted_like_our_code(tmp_path: Path) -> None:
    check(tmp_path, "-m", "ruff", "format", "--check", "--config", str(ROOT / "pyproject.toml"), *FILES)
