"""The report at the end of scripts/test."""

import subprocess
import sys
from pathlib import Path

import pytest
from checks import rerun_timed_out
from results import Duration, Report
from workspace import ROOT

RESULTS = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite errors="1" failures="1" skipped="1" tests="5">
<properties><property name="server" value="redis 7.0.15"/><property name="server" value="redis 7.0.15"/></properties>
<testcase classname="tests.test_a" name="test_passes"/>
<testcase classname="tests.test_a" name="test_passes_too"/>
<testcase classname="tests.test_a" name="test_fails"><failure message="assert 0"/></testcase>
<testcase classname="tests.test_a" name="test_breaks"><error message="fixture"/></testcase>
<testcase classname="tests.test_a" name="test_skips"><skipped message="valkey-server is not installed"/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    report = Report(not_run=["Python 3.13.0: quick"])
    (tmp_path / "results.xml").write_text(RESULTS, encoding="utf-8")
    report.add_tests("Python 3.11.7", tmp_path / "results.xml", 1)
    report.add_tests("Python 3.12.1", tmp_path / "nothing.xml", 3)
    report.durations |= {"tests/kv-core": Duration(90, 60), "tests/kv-disk": Duration(300, 30)}
    return str(report).splitlines()


def test_it_counts_the_tests_on_each_python(lines: list[str]) -> None:
    assert lines[:2] == ["Python 3.11.7  2 passed, 2 failed, 1 skipped", "Python 3.12.1  0 passed, 1 failed, 0 skipped"]


def test_a_run_without_results_is_a_failure_and_the_last_line_is_the_total(lines: list[str]) -> None:
    assert lines[-1] == "2 passed, 3 failed, 1 skipped"


def test_it_lists_the_servers_used_and_the_reasons_for_skipped_tests(lines: list[str]) -> None:
    assert "Servers: redis 7.0.15" in lines
    assert "Skipped 1: valkey-server is not installed" in lines
    assert "Not run: Python 3.13.0: quick" in lines


def test_rare_reasons_are_counted_together() -> None:
    report = Report()
    report.skips.update({f"reason {number}": number for number in range(1, 20)})
    lines = str(report).splitlines()
    assert "Skipped 19: reason 19" in lines
    assert "Skipped 28: 7 other reasons, named above" in lines
    assert len(lines) < 20


def test_it_lists_the_slowest_parts(lines: list[str]) -> None:
    disk, core = "tests/kv-disk 5.0 min (0.5 of processor time)", "tests/kv-core 1.5 min (1.0 of processor time)"
    assert f"Slowest: {disk}, {core}" in lines
    assert "All parts: 6.5 min (1.5 of processor time)" in lines


def test_it_names_the_failed_tests(lines: list[str]) -> None:
    assert [line for line in lines if line.startswith("Failed")] == [
        "Failed: Python 3.11.7: tests.test_a::test_fails: assert 0",
        "Failed: Python 3.11.7: tests.test_a::test_breaks: fixture",
    ]


TIMEOUTS = """<testsuites><testsuite errors="1" failures="2" skipped="0" tests="4">
<testcase classname="tests.workspace.test_checks.TestLock" name="test_a[a b]">
<failure message="TimeoutError: 1 s"/></testcase>
<testcase classname="tests.workspace.test_checks" name="test_b">
<error message="no answer within 9 s&#10;more"/></testcase>
<testcase classname="tests.workspace.test_checks" name="test_c"><failure message="assert 0"/></testcase>
<testcase classname="tests.workspace.test_checks" name="test_d"/>
</testsuite></testsuites>
"""


def timed_out(tmp_path: Path, command: str) -> Report:
    report = Report()
    (tmp_path / "results.xml").write_text(TIMEOUTS, encoding="utf-8")
    report.add_tests("Python", tmp_path / "results.xml", 1, (sys.executable, "-c", command))
    return report


def test_a_timed_out_test_is_rerun_and_both_outcomes_are_reported(tmp_path: Path) -> None:
    report = timed_out(tmp_path, "import sys; sys.exit('::TestLock::' not in sys.argv[1])")
    rerun_timed_out(report)
    passed = "Python: tests.workspace.test_checks.TestLock::test_a[a b]: TimeoutError: 1 s"
    assert str(report).splitlines() == [
        "Python  2 passed, 2 failed, 0 skipped",
        "Servers: none",
        "Failed: Python: tests.workspace.test_checks::test_c: assert 0",
        "Failed: Python: tests.workspace.test_checks::test_b: no answer within 9 s",
        f"Timed out beside others, passed alone: {passed}",
        "2 passed, 2 failed, 0 skipped",
    ]


def test_a_test_is_rerun_by_its_pytest_name(tmp_path: Path) -> None:
    assert [test.command[-1] for test in timed_out(tmp_path, "").timed_out] == [
        "tests/workspace/test_checks.py::TestLock::test_a[a b]",
        "tests/workspace/test_checks.py::test_b",
    ]


def test_no_test_is_rerun_if_many_timed_out(tmp_path: Path) -> None:
    report = timed_out(tmp_path, "")
    report.timed_out *= 3
    rerun_timed_out(report)
    assert not report.recovered
    assert report.total.failed == 3


def test_a_usage_error_is_distinguished_from_failed_tests() -> None:
    done = subprocess.run([ROOT / "scripts/test", "fast"], capture_output=True, text=True, check=False)  # noqa: S603 — our own script
    assert done.returncode == 2
    assert "usage" in done.stderr
