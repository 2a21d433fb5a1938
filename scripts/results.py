"""The results of the tests and checks of one run, and the report that it ends with."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree as ET

from workspace import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Matches the message of a failure that has no other cause than too little time.
_TIMEOUT_MESSAGE = re.compile(r"Timeout|timed out|in time\b|no answer within")
_MAX_PARTS_SHOWN = 8
# pytest prints every reason above the report.
_MAX_REASONS_SHOWN = 12
_MAX_REASON_CHARACTERS = 200


class Duration(NamedTuple):
    """Seconds that a command took, and of those, seconds of processor time: its own and of all it started."""

    elapsed: float
    processor: float

    def __str__(self) -> str:
        return f"{self.elapsed / 60:.1f} min ({self.processor / 60:.1f} of processor time)"


@dataclass
class Tally:
    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.passed + other.passed, self.failed + other.failed, self.skipped + other.skipped)


class FailedTest(NamedTuple):
    """A test that failed beside others."""

    part: str
    name: str
    reason: str
    command: tuple[str | Path, ...]
    """The command that runs the test alone."""

    def __str__(self) -> str:
        return f"{self.part}: {self.name}: {self.reason}"


@dataclass
class Report:
    """What ran, in order, and how it ended."""

    outcomes: dict[str, Tally] = field(default_factory=dict[str, Tally])
    servers: dict[str, None] = field(default_factory=dict[str, None])
    skips: Counter[str] = field(default_factory=Counter[str])
    failures: list[str] = field(default_factory=list[str])
    timed_out: list[FailedTest] = field(default_factory=list["FailedTest"])
    """Tests that timed out. Each counts as failed unless it passes when it is run again."""
    recovered: list[str] = field(default_factory=list[str])
    not_run: list[str] = field(default_factory=list[str])
    durations: dict[str, Duration] = field(default_factory=dict[str, Duration])
    """Part of the tests → the time it took beside other parts."""
    _lock: Lock = field(default_factory=Lock)

    @property
    def total(self) -> Tally:
        return sum(self.outcomes.values(), Tally())

    def add_tests(self, name: str, results: Path, exit_code: int, pytest: tuple[str | Path, ...] = ()) -> None:
        """Count the results that pytest wrote to `results`. A run that ended before it wrote any is one failure.

        `pytest` is the command that runs a test whose identifier is appended; without it no test is run again.
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
                failure = FailedTest(name, _test_name(case), reason, (*pytest, _node_of(case)))
                if pytest and _TIMEOUT_MESSAGE.search(reason):
                    self.timed_out.append(failure)
                else:
                    self.failures.append(str(failure))
        if exit_code and not tally.failed:
            tally.failed = 1
        with self._lock:
            self.outcomes[name] = self.outcomes.get(name, Tally()) + tally

    def __str__(self) -> str:
        width = max(map(len, self.outcomes), default=0)
        lines = [f"{name:{width}}  {tally}" for name, tally in self.outcomes.items()]
        lines.append(f"Servers: {', '.join(self.servers) or 'none'}")
        lines += [f"Failed: {test}" for test in self.failures]
        lines += [f"Timed out beside others, passed alone: {test}" for test in self.recovered]
        shown = self.skips.most_common(_MAX_REASONS_SHOWN)
        lines += [f"Skipped {count}: {reason}" for reason, count in shown]
        others = len(self.skips) - len(shown)
        if others:
            rest = self.skips.total() - sum(count for _, count in shown)
            lines.append(f"Skipped {rest}: {others} other reasons, named above")
        lines += [f"Not run: {reason}" for reason in self.not_run]
        slowest = sorted(self.durations.items(), key=lambda part: -part[1].elapsed)[:_MAX_PARTS_SHOWN]
        if slowest:
            lines.append(f"Slowest: {', '.join(f'{name} {duration}' for name, duration in slowest)}")
            lines.append(f"All parts: {Duration(*map(sum, zip(*self.durations.values(), strict=True)))}")
        return "\n".join([*lines, str(self.total)])


def _reason(case: ET.Element) -> str | None:
    """Return the first line of the failure; None if the test did not fail."""
    failed = next((each for kind in ("failure", "error") for each in case.iter(kind)), None)
    return None if failed is None else failed.get("message", "").partition("\n")[0][:_MAX_REASON_CHARACTERS]


def _test_name(case: ET.Element) -> str:
    return f"{case.get('classname')}::{case.get('name')}"


def _node_of(case: ET.Element) -> str:
    """Return the identifier of the test on pytest's command line. The shortest prefix that is a file is its module."""
    parts = (case.get("classname") or "").split(".")
    modules = ("/".join(parts[:length]) + ".py" for length in range(1, len(parts) + 1))
    length = next((number for number, module in enumerate(modules, 1) if (ROOT / module).is_file()), len(parts))
    return "::".join(["/".join(parts[:length]) + ".py", *parts[length:], case.get("name") or ""])
