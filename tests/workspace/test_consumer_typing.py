"""A consumer's program, type-checked in strict mode with the installed wheels."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from workspace import CommandError, Environment, run

if TYPE_CHECKING:
    from conftest import MakeEnvironment

CONSUMER = Path(__file__).parent / "consumer"

MISUSE = """
from key_value.aio.protocols import AsyncKeyValue

class NotAStore:
    async def get(self, key: str) -> bytes:
        return key.encode()

store: AsyncKeyValue = NotAStore()

async def use(store: AsyncKeyValue) -> str:
    await store.put("key", ["not", "a", "mapping"])
    return await store.get("key")
"""
MISUSED_LINES = (8, 11, 12)

Checker = Callable[[Environment, Path], None]


def mypy(environment: Environment, folder: Path) -> None:
    options = ("--strict", "--no-error-summary", "--cache-dir", folder / ".cache")
    run(sys.executable, "-m", "mypy", *options, "--python-executable", environment.python, ".", cwd=folder)


def pyright(environment: Environment, folder: Path) -> None:
    (folder / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict"}), encoding="utf-8")
    run(sys.executable, "-m", "pyright", "--pythonpath", environment.python, cwd=folder)


each_checker = pytest.mark.parametrize("check", [mypy, pyright])


@each_checker
def test_a_framework_type_checks_with_kv_core_alone(
    make_environment: "MakeEnvironment", python: Path, tmp_path: Path, check: Checker
) -> None:
    shutil.copy(CONSUMER / "framework.py", tmp_path)
    check(make_environment(python, "kv-core"), tmp_path)


@each_checker
def test_an_application_type_checks_with_each_store_that_it_passes(
    make_environment: "MakeEnvironment", python: Path, tmp_path: Path, check: Checker
) -> None:
    shutil.copytree(CONSUMER, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    check(make_environment(python, "kv-core", "kv-memory", "kv-redis"), tmp_path)


@each_checker
def test_misuse_is_an_error_on_each_line(
    make_environment: "MakeEnvironment", python: Path, tmp_path: Path, check: Checker
) -> None:
    (tmp_path / "misuse.py").write_text(MISUSE, encoding="utf-8")
    with pytest.raises(CommandError) as failure:
        check(make_environment(python, "kv-core"), tmp_path)
    assert [line for line in MISUSED_LINES if f"misuse.py:{line}:" not in str(failure.value)] == []


def test_the_application_runs(make_environment: "MakeEnvironment", python: Path) -> None:
    environment = make_environment(python, "kv-core", "kv-memory", "kv-redis")
    printed = run(environment.python, CONSUMER / "application.py")
    assert printed == "[3, 3, 3] [] False [1, 2, None] ['sue'] None\n"
