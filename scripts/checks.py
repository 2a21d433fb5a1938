"""What scripts/test runs, and the report it ends with. Inputs, changes and exit codes stand there. Needs uv on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

from workspace import ROOT, interpreters, preferred_interpreter, run

CORE_PACKAGES = ("kv-core", "kv-memory", "kv-testing")
# The tests of the conformance kit try its faults on a real server.
CORE_REQUIREMENTS = (*CORE_PACKAGES, "kv-redis")
STATIC_CHECKS = (("ruff", "check"), ("ruff", "format", "--check"), ("pyright",))


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


@dataclass
class Report:
    """What ran, in order, and how it ended."""

    outcomes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    servers: dict[str, None] = field(default_factory=dict[str, None])
    skips: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    not_run: list[str] = field(default_factory=list[str])

    @property
    def total(self) -> Tally:
        return sum(self.outcomes.values(), Tally())

    def add_tests(self, name: str, results: Path, exit_code: int) -> None:
        """Count what pytest wrote to `results`. A run that ended before it wrote anything is one failure."""
        tally = Tally()
        for suite in ET.parse(results).iter("testsuite") if results.exists() else ():  # noqa: S314 — our own file
            tests, errors, failures, skipped = (
                int(suite.get(count, 0)) for count in ("tests", "errors", "failures", "skipped")
            )
            tally += Tally(max(0, tests - errors - failures - skipped), errors + failures, skipped)
            properties = [each for each in suite.iter("property") if each.get("name") == "server"]
            self.servers |= dict.fromkeys(each.get("value", "") for each in properties)
            self.skips.update(each.get("message", "") for each in suite.iter("skipped"))
            self.failures += [f"{name}: {_test_name(each)}" for each in suite.iter("testcase") if _failed(each)]
        if exit_code and not tally.failed:
            tally.failed = 1
        self.outcomes[name] = tally

    def __str__(self) -> str:
        width = max(map(len, self.outcomes), default=0)
        lines = [f"{name:{width}}  {tally}" for name, tally in self.outcomes.items()]
        lines.append(f"Servers: {', '.join(self.servers) or 'none'}")
        lines += [f"Failed: {test}" for test in self.failures]
        lines += [f"Skipped {count}: {reason}" for reason, count in self.skips.most_common()]
        lines += [f"Not run: {reason}" for reason in self.not_run]
        return "\n".join([*lines, str(self.total)])


def _failed(case: ET.Element) -> bool:
    return case.find("failure") is not None or case.find("error") is not None


def _test_name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def call(*command: str | Path, **variables: str) -> int:
    """Run the command in the tree, with its output where ours goes; its exit code."""
    print(f"\n$ {' '.join(map(str, command))}", flush=True)
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **variables}, check=False).returncode


def call_tests(report: Report, name: str, python: Path, results: Path, *arguments: str) -> None:
    code = call(python, "-m", "pytest", "--quiet", f"--junitxml={results}", *arguments)
    report.add_tests(name, results, code)


def check_statically(report: Report) -> None:
    for command in STATIC_CHECKS:
        failed = call("uv", "run", "--no-sync", *command) != 0
        report.outcomes[" ".join(command)] = Tally(failed=1) if failed else Tally(passed=1)


def check_core(report: Report, python: Path, folder: Path) -> None:
    """Run the tests of the core packages in an environment of their own."""
    name = f"Python {version_of(python)} ({' '.join(CORE_PACKAGES)})"
    environment = folder / "venv"
    # One call for each package: uv before 0.10 takes no second one.
    for selection in (["--only-dev"], *(["--all-extras", "--package", package] for package in CORE_REQUIREMENTS)):
        sync = ("uv", "sync", "--quiet", "--locked", "--inexact", "--python", python, *selection)
        if call(*sync, UV_PROJECT_ENVIRONMENT=str(environment)):
            report.outcomes[name] = Tally(failed=1)
            return
    tests = [f"tests/{package}" for package in CORE_PACKAGES]
    call_tests(report, name, environment / "bin/python", folder / "results.xml", "-p", "no:cacheprovider", *tests)


def version_of(python: Path) -> str:
    return run(python, "-c", "import platform; print(platform.python_version())").strip()


def main(arguments: list[str]) -> int:
    quick = arguments[:1] == ["quick"]
    if arguments and not quick:
        print("usage: scripts/test [quick [ARGUMENT...]]", file=sys.stderr)
        return 2
    preferred = preferred_interpreter()
    others = [python for python in interpreters().values() if python != preferred]
    report = Report()
    if call("uv", "sync", "--quiet", "--locked", "--all-packages", "--all-extras", "--python", preferred):
        return 2
    check_statically(report)
    if not quick and os.geteuid() == 0:
        call(sys.executable, "scripts/services", "install")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = Path(
            run("uv", "run", "--no-sync", "python", "-c", "import sys; print(sys.executable)", cwd=ROOT).strip()
        )
        call_tests(report, f"Python {version_of(python)}", python, folder / "results.xml", *arguments[1:])
        for python in () if quick else others:
            (folder / python.name).mkdir()
            check_core(report, python, folder / python.name)
    if quick:
        report.not_run += [f"Python {version_of(python)}: quick" for python in others]
    elif not others:
        report.not_run.append("the core packages on another Python: none found, `uv python install` adds one")
    print(f"\n{report}")
    return 1 if report.total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
