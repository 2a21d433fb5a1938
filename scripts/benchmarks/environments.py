"""The environments of the benchmark programs: one with wheels of our packages, one with the predecessor."""

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
"""The backends with a worker for the section network."""

_LOCAL = ("memory", "redis", "disk", "filetree", "rocksdb", "duckdb", "chdb")
_PACKAGES = ("kv-core", "kv-wrappers", *(f"kv-{backend}" for backend in (*_LOCAL, *NETWORK)))
# Requirements of workers in addition to the drivers of the packages.
_EXTRA_REQUIREMENTS = ("aioboto3>=13",)
_PREDECESSOR_SPEC = predecessor_requirement([*_LOCAL, *NETWORK, "wrappers-encryption"])


class Environments:
    """Both environments, with the same Python, each created on first use."""

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
        """The Python executable of the environment with our packages."""
        print("Building the packages …", file=sys.stderr)
        folder = Path(self._temporary.name)
        wheels: dict[str, Wheel] = {}
        for package in _PACKAGES:
            wheels = build(ROOT, folder / "dist", "--wheel", "--package", package)
        environment = Environment(folder / "venv", self._interpreter)
        environment.install(*_PACKAGES, "kv-wrappers[encryption]", *_EXTRA_REQUIREMENTS, wheels=wheels)
        return environment.python

    @functools.cached_property
    def predecessor(self) -> Path:
        """The Python executable of the environment with the predecessor, which is kept between runs."""
        folder = ROOT / ".bench/predecessor"
        stamp = folder / "made-of"
        expected = f"{run(self._interpreter, '-c', 'import sys; print(sys.version)').strip()} {_PREDECESSOR_SPEC}"
        python = folder / "bin/python"
        # The stamp is written after the installation is complete.
        if stamp.exists() and stamp.read_text() == expected:
            return python
        print(f"Installing {PREDECESSOR} …", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        environment = Environment(folder, self._interpreter)
        environment.install(_PREDECESSOR_SPEC)
        stamp.write_text(expected)
        return environment.python


def measure(python: Path, worker: str, *arguments: str) -> Any:
    """Run a worker and return the JSON that it prints."""
    # Not `run`, which merges stderr into the output.
    done = subprocess.run([*_command(python, worker), *arguments], capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        message = f"{worker}.py in {python.parent.parent.name}: {done.stderr.strip().splitlines()[-1]}"
        raise CommandError(message)
    return json.loads(done.stdout)


class Worker:
    """A worker that keeps running and answers each question with a line of JSON, so that two can take turns."""

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
        # Closing its input ends it.
        self._process.communicate()


def _command(python: Path, worker: str) -> list[str]:
    # -E and -s: ignore variables such as PYTHONDONTWRITEBYTECODE, and the user's packages.
    return [str(python), "-E", "-s", str(_WORKERS / f"{worker}.py")]
