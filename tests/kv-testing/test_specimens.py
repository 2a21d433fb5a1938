"""The kit passes sound stores and notices each defect of the broken ones."""

import runpy
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

SPECIMENS = Path(__file__).with_name("specimens.py")
BROKEN: dict[str, str] = runpy.run_path(str(SPECIMENS))["BROKEN"]
SOUND = ["TextStore", "ExpiringTextStore"]

Outcomes = Mapping[str, Mapping[str, str]]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """Class of a store → test → "passed", "skipped", "failure" or "error"; run without any asyncio plugin."""
    directory = tmp_path_factory.mktemp("specimens")
    (directory / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    report = directory / "report.xml"
    tests = [f"Test{store_class}" for store_class in SOUND]
    tests += [f"Test{store_class}::{test}" for store_class, test in BROKEN.items()]
    command = [sys.executable, "-m", "pytest", *(f"{SPECIMENS}::{test}" for test in tests), f"--junitxml={report}"]
    command += ["-c", str(directory / "pytest.ini"), "--noconftest", "-q", "--tb=line"]
    command += ["-p", "no:asyncio", "-p", "no:hypothesispytest", "-p", "no:cacheprovider"]
    subprocess.run(command, cwd=directory, capture_output=True, check=False)  # noqa: S603 — this very repository
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for case in ET.parse(report).iter("testcase"):  # noqa: S314 — written above
        store_class = case.attrib["classname"].rpartition(".Test")[2]
        found[store_class][case.attrib["name"]] = next((child.tag for child in case), "passed")
    return found


@pytest.mark.parametrize("store_class", SOUND)
def test_a_sound_store_passes_every_test(outcomes: Outcomes, store_class: str) -> None:
    counts = Counter(outcomes[store_class].values())
    assert counts["passed"] > 500
    assert counts["failure"] == counts["error"] == 0


def test_every_test_applies_to_one_of_the_sound_stores(outcomes: Outcomes) -> None:
    first, second = (outcomes[store_class] for store_class in SOUND)
    assert [test for test in first if first[test] == second[test] == "skipped"] == []


@pytest.mark.parametrize(("store_class", "test"), BROKEN.items(), ids=BROKEN)
def test_a_broken_store_fails_the_test_of_what_it_breaks(outcomes: Outcomes, store_class: str, test: str) -> None:
    assert outcomes[store_class] == {test: "failure"}
    assert "passed" in [outcomes[sound][test] for sound in SOUND]
