"""Tables: tests that run for each row of a table, and report every row that fails."""

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

_GENERATED_NAMES = ("key", "shelf")


class Decorator(Protocol):
    """A decorator of a test."""

    def __call__(self, test: F, /) -> F: ...


class Row(NamedTuple):
    name: str
    arguments: dict[str, Any]


def for_each(
    names: str | Sequence[str], table: Mapping[str, Any] | Iterable[Any], *, at_once: bool = False
) -> Decorator:
    """Run the test for each row of the table, in one event loop and with one store, even after a row has failed.

    `at_once` runs the rows of an async test concurrently, for a test that mostly waits and opens a store of its own.

    Names and tables are like those of `pytest.mark.parametrize`, and several tables multiply. The keys of a mapping are
    the names of its rows. The arguments `key` and `shelf` of a test are unique to each row, and contain only letters
    and digits, which any client stores unchanged. The test fails if any row fails, and is skipped if all rows are.
    """
    arguments = (names,) if isinstance(names, str) else tuple(names)

    def decorate(test: F) -> F:
        original = vars(test).get("__each_row__", test)
        new_rows = _rows(arguments, table)
        # As in pytest, the table closest to the test comes first in the name of a row.
        rows = [
            Row("-".join(filter(None, [row.name, more.name])), {**row.arguments, **more.arguments})
            for row, more in product(rows_of(test) or [Row("", {})], new_rows)
        ]
        if len({row.name for row in rows}) < len(rows):
            message = f"{test.__name__} has two rows of the same name"
            raise ValueError(message)
        return cast("F", _over_rows(original, rows, at_once=at_once))

    return decorate


def rows_of(test: object) -> list[Row]:
    """Return the rows of a test in the order in which they run; empty for a test without a table."""
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


def _over_rows(test: Callable[..., Any], rows: list[Row], *, at_once: bool) -> Callable[..., Any]:
    signature = inspect.signature(test)
    generated = [name for name in _GENERATED_NAMES if name in signature.parameters and name not in rows[0].arguments]

    def arguments(number: int) -> dict[str, Any]:
        return {**rows[number].arguments, **{name: f"{name}{number}" for name in generated}}

    @functools.wraps(test)
    async def run_async(self: AsyncTests, **fixtures: Any) -> None:
        __tracebackhide__ = True
        outcomes = _Outcomes(rows)

        async def try_row(number: int, row: Row) -> None:
            with outcomes.recorded(row):
                await bounded(test(self, **fixtures, **arguments(number)), self.time_limit)

        if at_once:
            await asyncio.gather(*(try_row(number, row) for number, row in enumerate(rows)))
            outcomes.report()
            return
        for number, row in enumerate(rows):
            start = time.monotonic()
            await try_row(number, row)
            if time.monotonic() - start >= self.time_limit:
                break  # otherwise a store that hangs would take the time limit for each row
        outcomes.report()

    @functools.wraps(test)
    def run(self: AsyncTests, **fixtures: Any) -> None:
        __tracebackhide__ = True
        outcomes = _Outcomes(rows)
        for number, row in enumerate(rows):
            with outcomes.recorded(row):
                test(self, **fixtures, **arguments(number))
        outcomes.report()

    runs: Any = run_async if inspect.iscoroutinefunction(test) else run
    # pytest reads the names of the fixtures from the signature.
    from_table = {*rows[0].arguments, *generated}
    fixtures = [parameter for name, parameter in signature.parameters.items() if name not in from_table]
    runs.__signature__ = signature.replace(parameters=fixtures)
    runs.__each_row__ = test
    runs.__rows__ = rows
    return runs


class _Outcomes:
    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._run_count = 0
        self._failed: dict[str, BaseException] = {}
        self._skipped: dict[str, str] = {}

    @contextmanager
    def recorded(self, row: Row) -> Generator[None, None, None]:
        """Record the outcome of the row, and suppress its failure or skip."""
        self._run_count += 1
        try:
            yield
        except pytest.skip.Exception as skip:
            self._skipped[row.name] = str(skip)
        except (Exception, pytest.fail.Exception) as failure:  # noqa: BLE001 — reported with all others
            self._failed[row.name] = failure

    def report(self) -> None:
        """Fail if any row failed, or skip if all rows were skipped; print the rows skipped among others."""
        __tracebackhide__ = True
        if self._failed:
            names = ", ".join(f"[{row}]" for row in self._failed)
            not_run = len(self._rows) - self._run_count
            lines = [f"Failed rows, {len(self._failed)} of {self._run_count}: {names}"]
            lines += [f"Rows not run after that: {not_run}"] if not_run else []
            lines += [f"[{row}] {_describe(failure)}" for row, failure in self._failed.items()]
            raise AssertionError("\n".join(lines)) from next(iter(self._failed.values()))
        first, *others = dict.fromkeys(self._skipped.values()) or [""]
        reasons = f"{first}; other reasons: {len(others)}" if others else first
        if len(self._skipped) == len(self._rows):
            pytest.skip(reasons)
        if self._skipped:
            sys.stdout.write(f"Skipped rows: {', '.join(f'[{row}]' for row in self._skipped)}: {reasons}\n")


def _describe(failure: BaseException) -> str:
    if isinstance(failure, (AssertionError, pytest.fail.Exception)):
        return str(failure)
    return f"{type(failure).__name__}: {failure}"
