"""Every Python block of the README files and the documentation, run as it stands.

A block runs by itself; one fenced as "python continuation" runs after those above it, back to the last that is not.
`<!-- not run: reason -->` on the line above its fence exempts a block.
"""

import ast
import asyncio
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Protocol

import pytest
from workspace import ROOT

REDIS_URL = "redis://localhost:6379"
BLOCK = re.compile(
    r"^(?P<exempt><!-- not run: \S[^\n]*-->\n+)?```python(?P<continuation> continuation)?\n(?P<source>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
DOCUMENTS = [path for pattern in ("README.md", "packages/*/README.md", "docs/**/*.md") for path in ROOT.glob(pattern)]


class RedisServer(Protocol):
    @property
    def url(self) -> str: ...


def programs(text: str) -> dict[int, str]:
    """The program that ends with each block, by the line its block starts at. Every line keeps its number."""
    found: dict[int, str] = {}
    program = ""
    for block in BLOCK.finditer(text):
        if block["exempt"]:
            continue
        if not block["continuation"]:
            program = ""
        lines_above = text.count("\n", 0, block.start("source"))
        program += "\n" * (lines_above - program.count("\n")) + block["source"]
        found[lines_above + 1] = program
    return found


WRITTEN = [
    pytest.param(path, program, id=f"{path.relative_to(ROOT).as_posix()}:{line}")
    for path in sorted(DOCUMENTS)
    for line, program in programs(path.read_text(encoding="utf-8")).items()
]


def execute(program: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    main = ModuleType("__main__")
    # Dataclasses and pydantic look their module up by name.
    monkeypatch.setitem(sys.modules, "__main__", main)
    code = compile(program, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    outcome = eval(code, main.__dict__)  # noqa: S307 — our own documentation
    if inspect.iscoroutine(outcome):
        asyncio.run(outcome)


@pytest.mark.parametrize(("path", "program"), WRITTEN)
def test_the_block_runs(
    path: Path, program: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    if REDIS_URL in program:
        server: RedisServer = request.getfixturevalue("redis_server")
        program = program.replace(REDIS_URL, server.url)
    execute(program, str(path), monkeypatch)


def test_a_block_sees_only_the_blocks_it_continues() -> None:
    text = "```python\na = 1\n```\n\n```python\nb = 2\n```\n\n```python continuation\nc = b\n```\n"
    assert programs(text) == {2: "\na = 1\n", 6: "\n" * 5 + "b = 2\n", 10: "\n" * 5 + "b = 2\n\n\n\nc = b\n"}


def test_a_block_with_a_reason_above_it_is_not_run() -> None:
    assert programs("<!-- not run: needs a cluster -->\n```python\na = 1\n```\n") == {}


def test_a_block_may_await_at_its_top_level(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        execute("import asyncio\nawait asyncio.sleep(0)\n1 / 0\n", "README.md", monkeypatch)
