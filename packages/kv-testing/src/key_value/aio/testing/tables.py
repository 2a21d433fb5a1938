"""Tables: a test that runs for each row, and names every row that fails."""

import asyncio
import functools
import inspect
import sys
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple, Protocol, TypeVar, cast

import pytest
from key_value.aio.testing.running import AsyncTests, bounded

__all__ = ["Decorator", "Row", "for_each", "rows_of"]

F = TypeVar("F", bound=Callable[..., Any])

_FRESH = ("key", "shelf")


class Decorator(Protocol):
    """Makes one test of another."""

    def __call__(self, test: F, /) -> F: ...


class Row(NamedTuple):
    name: str
    arguments: dict[str, Any]


def for_each(
    names: str | Sequence[str], table: Mapping[str, Any] | Iterable[Any], *, at_once: bool = False
) -> Decorator:
    """Run the test for each row of the table: in one event loop, with one store, and to the end.

    `at_once` runs all rows concurrently, for an async test that mostly waits; such a test opens a store for each row.

    Names and tables are those of `pytest.mark.parametrize`, and several tables multiply; a mapping names its rows. A
    test that takes `key` or `shelf` gets names that no other row has, of letters and digits, which any raw client takes
    as they are. It fails if any row fails, and is skipped if all rows are.
    """
    arguments = (names,) if isinstance(names, str) else tuple(names)

    def decorate(test: F) -> F:
        written = vars(test).get("__each_row__", test)
        further = _rows(arguments, table)
        # The table closest to the test is first in the name of a row, as pytest has it.
        rows = [
            Row("-".join(filter(None, [row.name, more.name])), {**row.arguments, **more.arguments})
            for row, more in product(rows_of(test) or [Row("", {})], further)
        ]
        if len({row.name for row in rows}) < len(rows):
            message = f"{test.__name__} has two rows of one name"
            raise ValueError(message)
        return cast("F", _over(written, rows, at_once=at_once))

    return decorate


def rows_of(test: object) -> list[Row]:
    """The rows of a test, in the order in which they run; none for a test without a table."""
    return getattr(test, "__rows__", [])


def _rows(arguments: tuple[str, ...], table: Mapping[str, Any] | Iterable[Any]) -> list[Row]:
    if isinstance(table, Mapping):
        named = list(cast("Mapping[str, Any]", table).items())
    else:
        named = [(_name(value), value) for value in table]
    if len(arguments) == 1:
        return [Row(name, {arguments[0]: value}) for name, value in named]
    return [Row(name, dict(zip(arguments, values, strict=True))) for name, values in named]


def _name(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(_name(part) for part in cast("tuple[Any, ...]", value))
    if isinstance(value, type):
        return value.__name__
    shows = isinstance(value, str) and value.isascii() and value.isprintable() and value.strip()
    return value if shows else ascii(value)


def _over(test: Callable[..., Any], rows: list[Row], *, at_once: bool) -> Callable[..., Any]:
    signature = inspect.signature(test)
    fresh = [name for name in _FRESH if name in signature.parameters and name not in rows[0].arguments]

    def arguments(number: int) -> dict[str, Any]:
        return {**rows[number].arguments, **{name: f"{name}{number}" for name in fresh}}

    @functools.wraps(test)
    async def run_async(self: AsyncTests, **fixtures: Any) -> None:
        __tracebackhide__ = True
        outcomes = _Outcomes(rows)

        async def try_row(number: int, row: Row) -> None:
            with outcomes.noted(row):
                await bounded(test(self, **fixtures, **arguments(number)), self.time_limit)

        if at_once:
            await asyncio.gather(*(try_row(number, row) for number, row in enumerate(rows)))
            outcomes.tell()
            return
        for number, row in enumerate(rows):
            start = time.monotonic()
            await try_row(number, row)
            if time.monotonic() - start >= self.time_limit:
                break  # or a store that hangs would take as long for each row
        outcomes.tell()

    @functools.wraps(test)
    def run(self: AsyncTests, **fixtures: Any) -> None:
        __tracebackhide__ = True
        outcomes = _Outcomes(rows)
        for number, row in enumerate(rows):
            with outcomes.noted(row):
                test(self, **fixtures, **arguments(number))
        outcomes.tell()

    runs: Any = run_async if inspect.iscoroutinefunction(test) else run
    # pytest reads the names of the fixtures from the signature.
    ours = {*rows[0].arguments, *fresh}
    fixtures = [parameter for name, parameter in signature.parameters.items() if name not in ours]
    runs.__signature__ = signature.replace(parameters=fixtures)
    runs.__each_row__ = test
    runs.__rows__ = rows
    return runs


class _Outcomes:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._tried = 0
        self._failed: dict[str, BaseException] = {}
        self._skipped: dict[str, str] = {}

    @contextmanager
    def noted(self, row: Row) -> Generator[None, None, None]:
        """Note how the row ends, and let the next one run."""
        self._tried += 1
        try:
            yield
        except pytest.skip.Exception as skip:
            self._skipped[row.name] = str(skip)
        except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 — told below, with all others
            self._failed[row.name] = failure

    def tell(self) -> None:
        """Fail with every row that failed, or skip if all rows did; rows skipped among others are printed."""
        __tracebackhide__ = True
        if self._failed:
            names = ", ".join(f"[{row}]" for row in self._failed)
            untried = len(self._rows) - self._tried
            lines = [f"Failed rows, {len(self._failed)} of {self._tried}: {names}"]
            lines += [f"Rows not tried after that: {untried}"] if untried else []
            lines += [f"[{row}] {_told(failure)}" for row, failure in self._failed.items()]
            raise AssertionError("\n".join(lines)) from next(iter(self._failed.values()))
        first, *others = dict.fromkeys(self._skipped.values()) or [""]
        reasons = f"{first}; other reasons: {len(others)}" if others else first
        if len(self._skipped) == len(self._rows):
            pytest.skip(reasons)
        if self._skipped:
            sys.stdout.write(f"Skipped rows: {', '.join(f'[{row}]' for row in self._skipped)}: {reasons}\n")


def _told(failure: BaseException) -> str:
    if isinstance(failure, (AssertionError, pytest.fail.Exception)):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"
