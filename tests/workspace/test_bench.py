"""scripts/bench: measuring and judging, whatever the results."""

import subprocess
from pathlib import Path

from benchmarks.__main__ import SECTIONS
from benchmarks.report import TIMES, Row, Table, at_least, at_most
from workspace import ROOT


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "scripts/bench", *arguments], capture_output=True, text=True, check=False)  # noqa: S603 — our own script


def test_a_row_below_its_minimum_or_above_its_maximum_is_a_shortfall() -> None:
    rows = [at_least("a", [], 12, 11.9), at_least("b", [], 12, 12), at_most("c", [], 8, 9), at_most("d", [], 8, 8)]
    assert Table("speed", [], [*rows, Row("e", [])]).shortfalls == ["speed: a", "speed: c"]


def test_the_columns_of_a_table_are_aligned() -> None:
    table = Table("speed", ["ours"], [at_least("get", ["1.5 µs"], 12, 16.25), Row("bare", ["10 ms"])])
    assert str(table).splitlines() == [
        "speed    ours  target  measured",
        "-----  ------  ------  --------  --",
        f"get    1.5 µs   ≥ 12{TIMES}    16.25{TIMES}  ok",
        "bare    10 ms",
    ]


def test_every_section_has_its_module() -> None:
    assert {path.stem for path in Path(ROOT, "scripts/benchmarks").glob("[!_]*.py")} > set(SECTIONS)


def test_a_section_measures_our_packages_and_the_predecessor() -> None:
    done = bench("frames")
    assert done.returncode == 0, done.stderr
    assert "MemoryStore get" in done.stdout


def test_an_unknown_section_is_a_usage_error() -> None:
    assert bench("speed").returncode == 2
