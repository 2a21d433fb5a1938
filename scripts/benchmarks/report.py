"""Tables of targets and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TIMES", "Row", "Table", "at_least", "at_most", "mega", "micro", "milli"]

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True)
class Row:
    """`cells` are the absolute numbers; `ok` is None if there is no target."""

    name: str
    cells: Sequence[str]
    target: str = ""
    measured: str = ""
    ok: bool | None = None


@dataclass(frozen=True)
class Table:
    title: str
    columns: Sequence[str]
    rows: Sequence[Row]

    def __str__(self) -> str:
        verdicts = {True: "ok", False: "missed", None: ""}
        lines = [(self.title, *self.columns, "target", "measured", "")]
        lines += [(row.name, *row.cells, row.target, row.measured, verdicts[row.ok]) for row in self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = ["-" * width for width in widths]
        return "\n".join(_line(line, widths) for line in (lines[0], rule, *lines[1:]))

    @property
    def shortfalls(self) -> list[str]:
        return [f"{self.title}: {row.name}" for row in self.rows if row.ok is False]


def at_least(name: str, cells: Sequence[str], target: float, measured: float, unit: str = TIMES) -> Row:
    return Row(name, cells, f"≥ {target:g}{unit}", f"{measured:.2f}{unit}", measured >= target)


def at_most(name: str, cells: Sequence[str], target: float, measured: float, unit: str = "") -> Row:
    return Row(name, cells, f"≤ {target:g}{unit}", f"{measured:.4g}{unit}", measured <= target)


def micro(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs"


def milli(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms"


def mega(octets: float) -> str:
    return f"{octets / 1e6:.1f} MB"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    name, *others = zip(cells, widths, strict=True)
    return "  ".join([name[0].ljust(name[1]), *(cell.rjust(width) for cell, width in others)]).rstrip()
