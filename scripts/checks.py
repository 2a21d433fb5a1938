"""What scripts/test runs, and the report it ends with. Inputs, changes and exit codes stand there. Needs uv on PATH."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from workspace import ROOT, interpreters, preferred_interpreter, run

if TYPE_CHECKING:
    from collections.abc import Callable

CORE_PACKAGES = ("kv-core", "kv-memory", "kv-testing")
# The tests of the conformance kit try its faults on a real server, and its processes on data that they share.
CORE_REQUIREMENTS = (*CORE_PACKAGES, "kv-redis", "kv-disk")
# Tests on a server take 40 % of a core, and wait for the rest of their time: with one part more than cores, a fifth of
# the processor time was left. A second one more made nothing faster, and limits were met that a quiet machine never
# meets.
_WAITING = 1
# More tests than that are not late because of their neighbours.
_MOST_LATE = 5
# How a failure reads that says only that there was not enough time.
_OUT_OF_TIME = re.compile(r"Timeout|timed out|in time\b|no answer within")
_SLOWEST = 8
# The end is to be read at a glance; pytest prints all of them above.
_MOST_REASONS = 12
_LONGEST_REASON = 200
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


class Late(NamedTuple):
    """A test that ran out of time beside others."""

    part: str
    name: str
    reason: str
    command: tuple[str | Path, ...]
    """Runs it alone."""

    def __str__(self) -> str:
        return f"{self.part}: {self.name}: {self.reason}"


@dataclass
class Report:
    """What ran, in order, and how it ended."""

    outcomes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    servers: dict[str, None] = field(default_factory=dict[str, None])
    skips: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    late: list[Late] = field(default_factory=list["Late"])
    """Tests that ran out of time, of which each is counted as failed until `judge_again` finds that it passes."""
    recovered: list[str] = field(default_factory=list[str])
    not_run: list[str] = field(default_factory=list[str])
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """How long each part of the tests took, which ran beside others."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def total(self) -> Tally:
        return sum(self.outcomes.values(), Tally())

    def add_tests(self, name: str, results: Path, exit_code: int, pytest: tuple[str | Path, ...] = ()) -> None:
        """Count what pytest wrote to `results`. A run that ended before it wrote anything is one failure.

        `pytest` is the command that runs one test when its identifier follows; without it no test is run again.
        """
        tally = Tally()
        for suite in ET.parse(results).iter("testsuite") if results.exists() else ():  # noqa: S314 — our own file
            tests, errors, failures, skipped = (
                int(suite.get(count, 0)) for count in ("tests", "errors", "failures", "skipped")
            )
            tally += Tally(max(0, tests - errors - failures - skipped), errors + failures, skipped)
            properties = [each for each in suite.iter("property") if each.get("name") == "server"]
            self.servers |= dict.fromkeys(each.get("value", "") for each in properties)
            self.skips.update(each.get("message", "") for each in suite.iter("skipped"))
            for case in suite.iter("testcase"):
                reason = _reason(case)
                if reason is None:
                    continue
                late = Late(name, _test_name(case), reason, (*pytest, _node(case)))
                if pytest and _OUT_OF_TIME.search(reason):
                    self.late.append(late)
                else:
                    self.failures.append(str(late))
        if exit_code and not tally.failed:
            tally.failed = 1
        with self._lock:
            self.outcomes[name] = self.outcomes.get(name, Tally()) + tally

    def __str__(self) -> str:
        width = max(map(len, self.outcomes), default=0)
        lines = [f"{name:{width}}  {tally}" for name, tally in self.outcomes.items()]
        lines.append(f"Servers: {', '.join(self.servers) or 'none'}")
        lines += [f"Failed: {test}" for test in self.failures]
        lines += [f"Out of time beside others, passed alone: {test}" for test in self.recovered]
        told = self.skips.most_common(_MOST_REASONS)
        lines += [f"Skipped {count}: {reason}" for reason, count in told]
        others = len(self.skips) - len(told)
        if others:
            rest = self.skips.total() - sum(count for _, count in told)
            lines.append(f"Skipped {rest}: {others} other reasons, named above")
        lines += [f"Not run: {reason}" for reason in self.not_run]
        slowest = sorted(self.seconds.items(), key=lambda part: -part[1])[:_SLOWEST]
        if slowest:
            lines.append(f"Slowest: {', '.join(f'{name} {seconds / 60:.1f} min' for name, seconds in slowest)}")
        return "\n".join([*lines, str(self.total)])


def _reason(case: ET.Element) -> str | None:
    """The first line of why the test failed; None when it did not."""
    failed = next((each for kind in ("failure", "error") for each in case.iter(kind)), None)
    return None if failed is None else failed.get("message", "").partition("\n")[0][:_LONGEST_REASON]


def _test_name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _node(case: ET.Element) -> str:
    """What pytest calls the test on its command line: its module is the first part that is a file."""
    parts = (case.get("classname") or "").split(".")
    modules = ("/".join(parts[:length]) + ".py" for length in range(1, len(parts) + 1))
    length = next((number for number, module in enumerate(modules, 1) if (ROOT / module).is_file()), len(parts))
    return "::".join(["/".join(parts[:length]) + ".py", *parts[length:], case.get("name") or ""])


def call(*command: str | Path, **variables: str) -> int:
    """Run the command in the tree, and then print it and its output, apart from that of others; its exit code."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    print(f"\n$ {' '.join(map(str, command))}\n{done.stdout}", end="", flush=True)
    return done.returncode


def call_tests(report: Report, python: Path, *arguments: str, only: str = "", again: bool = True) -> None:
    name = f"Python {version_of(python)}{only}"
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        # The calls that run at once would write to one cache.
        pytest = (python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider")
        begun = time.monotonic()
        code = call(*pytest, f"--junitxml={results}", *arguments)
        report.seconds[name if only else " ".join(arguments)] = time.monotonic() - begun
        report.add_tests(name, results, code, pytest if again else ())


def judge_again(report: Report) -> None:
    """Run each test alone that ran out of time while others shared the processor. It passes, or has failed."""
    for test in report.late:
        if len(report.late) > _MOST_LATE or call(*test.command):
            report.failures.append(str(test))
        else:
            report.recovered.append(str(test))
            report.outcomes[test.part] += Tally(passed=1, failed=-1)


def check_statically(report: Report) -> None:
    for command in STATIC_CHECKS:
        failed = call("uv", "run", "--no-sync", *command) != 0
        report.outcomes[" ".join(command)] = Tally(failed=1) if failed else Tally(passed=1)


def check_core(report: Report, python: Path, environments: Path) -> None:
    """Run the tests of the core packages in an environment of their own, made in the folder of environments."""
    only = f" ({' '.join(CORE_PACKAGES)})"
    environment = environments / version_of(python)
    # One call for each package: uv before 0.10 takes no second one.
    for selection in (["--only-dev"], *(["--all-extras", "--package", package] for package in CORE_REQUIREMENTS)):
        sync = ("uv", "sync", "--quiet", "--locked", "--inexact", "--python", python, *selection)
        if call(*sync, UV_PROJECT_ENVIRONMENT=str(environment)):
            report.outcomes[f"Python {version_of(python)}{only}"] = Tally(failed=1)
            return
    tests = [f"tests/{package}" for package in CORE_PACKAGES]
    call_tests(report, environment / "bin/python", *tests, only=only)


def jobs_of(report: Report, python: Path, others: list[Path], environments: Path) -> list[Callable[[], None]]:
    """All there is to check, in parts that run at once.

    What needs few servers comes first, while they are installed; then packages whose tests are long.
    """
    installed = Event()
    folders = {test.parent for test in (ROOT / "tests").glob("*/test_*.py")}

    def install() -> None:
        try:
            if os.geteuid() == 0:
                call(sys.executable, "scripts/services", "install")
        finally:
            installed.set()

    def call_tests_in(folder: Path) -> None:
        installed.wait()
        call_tests(report, python, f"tests/{folder.name}")

    return [
        install,
        partial(check_statically, report),
        *(partial(check_core, report, other, environments) for other in others),
        *(partial(call_tests_in, folder) for folder in sorted(folders, key=_weight)),
    ]


def _weight(folder: Path) -> tuple[bool, int]:
    # Building and installing takes longer than any test.
    return folder.name != "workspace", -sum(path.stat().st_size for path in folder.glob("*.py"))


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
    python = Path(run("uv", "run", "--no-sync", "python", "-c", "import sys; print(sys.executable)", cwd=ROOT).strip())
    if quick:
        check_statically(report)
        call_tests(report, python, *arguments[1:], again=False)
    else:
        with tempfile.TemporaryDirectory() as environments:
            jobs = jobs_of(report, python, others, Path(environments))
            with ThreadPoolExecutor((os.cpu_count() or 1) + _WAITING) as pool:
                for job in [pool.submit(each) for each in jobs]:
                    job.result()
            judge_again(report)
    if quick:
        report.not_run += [f"Python {version_of(python)}: quick" for python in others]
    elif not others:
        report.not_run.append("the core packages on another Python: none found, `uv python install` adds one")
    print(f"\n{report}")
    return 1 if report.total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
