"""Type checkers in strict mode on a program that uses the adapters."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CONSUMER = Path(__file__).parent / "consumer" / "application.py"

MISUSE = """\
from key_value.aio.adapters import BaseModelAdapter, PydanticAdapter, RaiseOnMissingAdapter
from key_value.aio.stores.memory import MemoryStore
from pydantic import BaseModel

class User(BaseModel):
    name: str

async def use(store: MemoryStore) -> User:
    users = PydanticAdapter(store, User)
    await users.put("ada", {"name": "Ada"})
    await users.put_many(["ada"], User(name="Ada"))
    await users.get("ada", default="nobody")
    PydanticAdapter[list[User]](store, User)
    PydanticAdapter(store, 5)
    BaseModelAdapter(store, int)
    PydanticAdapter(object(), User)
    value: dict[str, int] = await RaiseOnMissingAdapter(store).get("ada")
    return await users.get("ada")
"""
MISUSED_LINES = (10, 11, 12, 13, 14, 15, 16, 17, 18)

Checker = Callable[[Path], "subprocess.CompletedProcess[str]"]


def mypy(folder: Path) -> "subprocess.CompletedProcess[str]":
    options = ("--strict", "--no-error-summary", "--cache-dir", str(folder / ".cache"))
    return _run(folder, "mypy", *options, "--python-executable", sys.executable, ".")


def pyright(folder: Path) -> "subprocess.CompletedProcess[str]":
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), encoding="utf-8")
    return _run(folder, "pyright", "--pythonpath", sys.executable)


def _run(folder: Path, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 — our own command


each_checker = pytest.mark.parametrize("check", [mypy, pyright])


@each_checker
def test_each_call_has_the_type_declared_by_its_adapter(check: Checker, tmp_path: Path) -> None:
    shutil.copy(CONSUMER, tmp_path)
    checked = check(tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@each_checker
def test_misuse_is_an_error_on_each_line(check: Checker, tmp_path: Path) -> None:
    (tmp_path / "misuse.py").write_text(MISUSE, encoding="utf-8")
    checked = check(tmp_path)
    assert checked.returncode == 1, checked.stderr
    assert [line for line in MISUSED_LINES if f"misuse.py:{line}:" not in checked.stdout] == []


def test_the_program_runs() -> None:
    ran = _run(CONSUMER.parent, "application")
    assert (ran.stdout, ran.returncode) == ("['all']\n", 0), ran.stderr
