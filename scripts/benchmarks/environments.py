"""Where the measuring programs run: our packages as wheels, and the predecessor, each alone in an environment."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predecessor import PREDECESSOR, predecessor_requirement
from workspace import ROOT, CommandError, Environment, build, preferred_interpreter, run

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self
    from workspace import Wheel

__all__ = ["NETWORK", "Environments", "Worker"]

_WORKERS = Path(__file__).with_name("workers")

NETWORK = sorted(path.stem.removeprefix("network_") for path in _WORKERS.glob("network_*.py"))
"""The backends that have a worker for the section network."""

_LOCAL = ("memory", "redis", "disk", "filetree", "rocksdb", "duckdb", "chdb")
_PACKAGES = ("kv-core", "kv-wrappers", *(f"kv-{backend}" for backend in (*_LOCAL, *NETWORK)))
# What a worker needs beside the driver of the package.
_BY_HAND = ("aioboto3>=13",)
_REQUIRED = predecessor_requirement([*_LOCAL, *NETWORK, "wrappers-encryption"])


class Environments:
    """Both environments, made when they are first asked for and of the same Python."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self._interpreter = preferred_interpreter()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._temporary.cleanup()

    @functools.cached_property
    def ours(self) -> Path:
        """The Python with our packages."""
        print("Building the packages …", file=sys.stderr)
        folder = Path(self._temporary.name)
        wheels: dict[str, Wheel] = {}
        for package in _PACKAGES:
            wheels = build(ROOT, folder / "dist", "--wheel", "--package", package)
        environment = Environment(folder / "venv", self._interpreter)
        environment.install(*_PACKAGES, "kv-wrappers[encryption]", *_BY_HAND, wheels=wheels)
        return environment.python

    @functools.cached_property
    def predecessor(self) -> Path:
        """The Python with the predecessor, kept between runs."""
        folder = ROOT / ".bench/predecessor"
        made_of = folder / "made-of"
        wanted = f"{run(self._interpreter, '-c', 'import sys; print(sys.version)').strip()} {_REQUIRED}"
        python = folder / "bin/python"
        # Written when all of it was installed.
        if made_of.exists() and made_of.read_text() == wanted:
            return python
        print(f"Installing {PREDECESSOR} …", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        environment = Environment(folder, self._interpreter)
        environment.install(_REQUIRED)
        made_of.write_text(wanted)
        return environment.python


def measure(python: Path, worker: str, *arguments: str) -> Any:
    """The JSON that a worker prints."""
    # Not `run`, which mixes warnings into the output.
    done = subprocess.run([*_command(python, worker), *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        message = f"{worker}.py in {python.parent.parent.name}: {done.stderr.strip().splitlines()[-1]}"
        raise CommandError(message)
    return json.loads(done.stdout)


class Worker:
    """A worker that stays, and answers each question with one line of JSON: so that two can take turns."""

    def __init__(self, python: Path, worker: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [*_command(python, worker), *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def ask(self, question: str) -> Any:
        assert self._process.stdin is not None  # noqa: S101 — both are pipes
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # The end of its input ends it.
        self._process.communicate()


def _command(python: Path, worker: str) -> list[str]:
    # -E and -s: neither variables such as PYTHONDONTWRITEBYTECODE nor the user's packages have a say.
    return [str(python), "-E", "-s", str(_WORKERS / f"{worker}.py")]
