"""The kit passes sound stores and detects each defect of the broken ones."""

import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest
from key_value.aio.testing import StoreTests
from key_value.aio.testing.tables import rows_of

HERE = Path(__file__).parent
sys.path.append(str(HERE))

specimens, versioned = (import_module(name) for name in ("specimens", "specimens_with_versions"))
BROKEN: dict[str, str] = specimens.BROKEN
# Name → the number of tests it must exceed; some run only a few contracts.
SOUND = {
    "TextStore": 140,
    "ExpiringTextStore": 140,
    "VersionedTextStore": 200,
    "ExpiringVersionedStore": 40,
    "RefusingStore": 5,
    "ClosingStore": 20,
}

pytestmark = pytest.mark.timeout(600)  # one run of all specimens takes 60 s on an idle machine


class Outcome(NamedTuple):
    end: str
    """ "passed", "skipped", "failure" or "error"."""
    report: str = ""
    """The failure, or the output of a test that passed."""


Outcomes = Mapping[str, Mapping[str, Outcome]]


class Specimen(NamedTuple):
    test: str
    """The name that pytest gives to the test that must fail."""
    row: str = ""
    """The row of its table that must be among the failed rows, in brackets."""


def _specimen(test: str) -> Specimen:
    name, bracket, row = test.partition("[")
    return Specimen(name, bracket + row) if rows_of(getattr(StoreTests, name)) else Specimen(test)


SPECIMENS = {store_class: _specimen(test) for store_class, test in BROKEN.items()}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Class of a store → test → outcome, run without any asyncio plugin."""
    directory = tmp_path_factory.mktemp("specimens")
    (directory / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\npythonpath = {HERE}\n")
    report = directory / "report.xml"
    tests = [f"Test{store_class}" for store_class in SOUND]
    tests += [f"Test{store_class}::{specimen.test}" for store_class, specimen in SPECIMENS.items()]
    nodes = [f"{_file_of(test.partition('::')[0])}::{test}" for test in tests]
    command = [sys.executable, "-m", "pytest", *nodes, f"--junitxml={report}"]
    command += ["-c", str(directory / "pytest.ini"), "--noconftest", "-q", "--tb=line"]
    command += [
        "-o",
        "junit_logging=system-out",
        "-p",
        "no:asyncio",
        "-p",
        "no:hypothesispytest",
        "-p",
        "no:cacheprovider",
    ]
    subprocess.run(command, cwd=directory, capture_output=True, check=False)  # noqa: S603 — our own tests
    found: defaultdict[str, dict[str, Outcome]] = defaultdict(dict)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 — written above
        store_class = case.attrib["classname"].rpartition(".Test")[2]
        ends = [Outcome(child.tag, child.text or "") for child in case]
        printed = [outcome._replace(end="passed") for outcome in ends if outcome.end == "system-out"]
        ends = [outcome for outcome in ends if outcome.end != "system-out"]
        found[store_class][case.attrib["name"]] = [*ends, *printed, Outcome("passed")][0]
    return found


def _file_of(test_class: str) -> str | None:
    return (specimens if hasattr(specimens, test_class) else versioned).__file__


@pytest.mark.parametrize("store_class", SOUND)
def test_a_sound_store_passes_every_test(outcomes: Outcomes, store_class: str) -> None:
    counts = Counter(outcome.end for outcome in outcomes[store_class].values())
    assert counts["passed"] > SOUND[store_class]
    assert counts["failure"] == counts["error"] == 0
    assert [name for name, outcome in outcomes[store_class].items() if "Skipped rows" in outcome.report] == []


def test_every_test_applies_to_a_sound_store(outcomes: Outcomes) -> None:
    ends = [(name.partition("[")[0], outcome.end) for sound in SOUND for name, outcome in outcomes[sound].items()]
    passed = {name for name, end in ends if end == "passed"}
    # A dict cannot be shared by processes: test_contenders.py has the multi-process tests.
    tests = {name for name in dir(StoreTests) if name.startswith("test") and "several_processes" not in name}
    assert tests - passed == set()


def test_a_test_that_does_not_apply_is_not_collected(outcomes: Outcomes) -> None:
    ends = outcomes["VersionedTextStore"].items()
    assert [name for name, outcome in ends if outcome.end == "skipped"] == []
    assert len(outcomes["TextStore"]) < len(outcomes["VersionedTextStore"])


@pytest.mark.parametrize("store_class", SPECIMENS)
def test_a_broken_store_fails_the_test_for_its_defect(outcomes: Outcomes, store_class: str) -> None:
    test, row = SPECIMENS[store_class]
    assert {name: outcome.end for name, outcome in outcomes[store_class].items()} == {test: "failure"}
    assert "passed" in [outcomes[sound][test].end for sound in SOUND if test in outcomes[sound]]
    if row:
        lines = outcomes[store_class][test].report.splitlines()
        assert row in next(line for line in lines if "Failed rows, " in line)


def test_a_specimen_names_an_existing_row_of_a_table() -> None:
    named = {
        specimen.row: rows_of(getattr(StoreTests, specimen.test)) for specimen in SPECIMENS.values() if specimen.row
    }
    assert [row for row, rows in named.items() if row.strip("[]") not in {each.name for each in rows}] == []
