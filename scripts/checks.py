"""Runs the checks and tests of scripts/test, which documents inputs, changes and exit codes. Needs uv on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

from results import Duration, Report, Tally
from workspace import ROOT, interpreters, preferred_interpreter, run

if TYPE_CHECKING:
    from collections.abc import Callable

CORE_PACKAGES = ("kv-core", "kv-memory", "kv-testing")
# The tests of the conformance kit try its faults on a real server, and its processes on data that they share.
CORE_REQUIREMENTS = (*CORE_PACKAGES, "kv-redis", "kv-disk")
# Tests on a server use 40 % of a core and wait for the rest of their time: one job more than cores left a fifth of the
# processor time unused. A second one more made nothing faster, and tests timed out that never do on a quiet machine.
_JOBS_BEYOND_CORES = 1
# More timeouts than this have another cause than a busy machine.
_MAX_RERUNS = 5
STATIC_CHECKS = (("ruff", "check"), ("ruff", "format", "--check"), ("pyright",))


class Done(NamedTuple):
    """A finished command."""

    exit_code: int
    duration: Duration


def call(*command: str | Path, **variables: str) -> Done:
    """Run the command in the tree, and print it with its output when it has finished."""
    begun = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **variables}, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)  # Popen.wait() does not return the usage
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode(errors="replace")
    print(f"\n$ {' '.join(map(str, command))}\n{printed}", end="", flush=True)
    return Done(process.returncode, Duration(time.monotonic() - begun, usage.ru_utime + usage.ru_stime))


def call_tests(report: Report, python: Path, *arguments: str, only: str = "", rerun: bool = True) -> None:
    name = f"Python {version_of(python)}{only}"
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.xml"
        # Concurrent calls would write to one cache.
        pytest = (python, "-m", "pytest", "--quiet", "-p", "no:cacheprovider")
        done = call(*pytest, f"--junitxml={results}", "--durations=5", "--durations-min=5", *arguments)
        report.durations[name if only else " ".join(arguments)] = done.duration
        report.add_tests(name, results, done.exit_code, pytest if rerun else ())


def rerun_timed_out(report: Report) -> None:
    """Run each test again, alone, that timed out while other tests shared the processor."""
    for test in report.timed_out:
        if len(report.timed_out) > _MAX_RERUNS or call(*test.command).exit_code:
            report.failures.append(str(test))
        else:
            report.recovered.append(str(test))
            report.outcomes[test.part] += Tally(passed=1, failed=-1)


def check_statically(report: Report) -> None:
    for command in STATIC_CHECKS:
        failed = call("uv", "run", "--no-sync", *command).exit_code != 0
        report.outcomes[" ".join(command)] = Tally(failed=1) if failed else Tally(passed=1)


def check_core(report: Report, python: Path, environments: Path) -> None:
    """Run the tests of the core packages in an environment of their own, made in the folder of environments."""
    only = f" ({' '.join(CORE_PACKAGES)})"
    environment = environments / version_of(python)
    # One call for each package: uv before 0.10 takes no second one.
    for selection in (["--only-dev"], *(["--all-extras", "--package", package] for package in CORE_REQUIREMENTS)):
        sync = ("uv", "sync", "--quiet", "--locked", "--inexact", "--python", python, *selection)
        if call(*sync, UV_PROJECT_ENVIRONMENT=str(environment)).exit_code:
            report.outcomes[f"Python {version_of(python)}{only}"] = Tally(failed=1)
            return
    tests = [f"tests/{package}" for package in CORE_PACKAGES]
    call_tests(report, environment / "bin/python", *tests, only=only)


def jobs_of(report: Report, python: Path, others: list[Path], environments: Path) -> list[Callable[[], None]]:
    """Return the jobs of a whole run, in the order to start them.

    Jobs that need few servers come first, while the others are installed; short ones come last, so that no core idles
    at the end.
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

    def order_of(folder: Path) -> tuple[bool, bool, int]:
        """Sort the wheel tests first, because they take longest, then tests on servers, and long modules first."""
        tests = [path.read_bytes() for path in folder.glob("*.py")]
        uses_servers = any(b"_server" in test for test in tests)
        return folder.name != "workspace", not uses_servers, -sum(map(len, tests))

    return [
        install,
        partial(check_statically, report),
        *(partial(check_core, report, other, environments) for other in others),
        *(partial(call_tests_in, folder) for folder in sorted(folders, key=order_of)),
    ]


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
    if call("uv", "sync", "--quiet", "--locked", "--all-packages", "--all-extras", "--python", preferred).exit_code:
        return 2
    python = Path(run("uv", "run", "--no-sync", "python", "-c", "import sys; print(sys.executable)", cwd=ROOT).strip())
    if quick:
        check_statically(report)
        call_tests(report, python, *arguments[1:], rerun=False)
    else:
        with tempfile.TemporaryDirectory() as environments:
            jobs = jobs_of(report, python, others, Path(environments))
            with ThreadPoolExecutor((os.cpu_count() or 1) + _JOBS_BEYOND_CORES) as pool:
                for job in [pool.submit(each) for each in jobs]:
                    job.result()
            rerun_timed_out(report)
    if quick:
        report.not_run += [f"Python {version_of(python)}: quick" for python in others]
    elif not others:
        report.not_run.append("the core packages on another Python: none found, `uv python install` adds one")
    print(f"\n{report}")
    return 1 if report.total.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
