"""A test with a table runs every row and reports which rows failed."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from key_value.aio.testing import AsyncTests
from key_value.aio.testing.tables import for_each, rows_of

COLORS = {"warm": "red", "cold": "blue"}


class Table(AsyncTests):
    def __init__(self) -> None:
        self.seen: list[Any] = []

    @for_each("number", [1, 2, 3])
    async def test_of_odd_numbers(self, number: int) -> None:
        self.seen.append(number)
        assert number % 2 == 0, f"{number} is odd"

    @for_each("number", [1, 2, 3])
    def test_without_an_event_loop(self, number: int) -> None:
        self.seen.append(number)
        assert number != 2

    @for_each("color", COLORS)
    @for_each(("width", "height"), [(1, 2), (3, 4)])
    async def test_of_a_product(self, width: int, height: int, color: str) -> None:
        self.seen.append((width, height, color))

    @for_each("number", [1, 2])
    async def test_of_names(self, key: str, shelf: str, number: int) -> None:
        self.seen.append((number, key, shelf))

    @for_each("color", COLORS)
    async def test_in_one_event_loop(self, store: list[Any], color: str) -> None:
        store.append((color, asyncio.get_running_loop()))

    @for_each("number", [1, 2, 3])
    async def test_that_skips(self, least: int, number: int) -> None:
        if number < least:
            pytest.skip(f"less than {least}")

    @for_each("error", [KeyError("a"), ValueError("b")])
    async def test_that_raises(self, error: Exception) -> None:
        raise error

    @for_each("number", [1, 2, 3], at_once=True)
    async def test_of_rows_that_meet(self, all_are_there: asyncio.Event, number: int) -> None:
        self.seen.append(number)
        if len(self.seen) == 3:
            all_are_there.set()
        await all_are_there.wait()
        assert number != 2


class HangingTable(Table):
    time_limit = 2

    @for_each("seconds", [0, 3600, 1])
    async def test_that_hangs(self, seconds: float) -> None:
        self.seen.append(seconds)
        await asyncio.sleep(seconds)


def run(test: Any, **fixtures: Any) -> None:
    """Call the test as pytest does, without the arguments of the table."""
    test(**fixtures)


def message_of(test: Any) -> list[str]:
    with pytest.raises(AssertionError) as failure:
        run(test)
    return str(failure.value).splitlines()


def test_a_failing_row_does_not_hide_others() -> None:
    tests = Table()
    lines = message_of(tests.test_of_odd_numbers)
    assert tests.seen == [1, 2, 3]
    assert lines[0] == "Failed rows, 2 of 3: [1], [3]"
    assert [line for line in lines if line.startswith("[")] == ["[1] 1 is odd", "[3] 3 is odd"]


def test_a_test_without_an_event_loop_may_have_a_table() -> None:
    tests = Table()
    assert message_of(tests.test_without_an_event_loop)[0] == "Failed rows, 1 of 3: [2]"
    assert tests.seen == [1, 2, 3]


def test_tables_multiply_and_the_innermost_varies_fastest() -> None:
    tests = Table()
    run(tests.test_of_a_product)
    assert tests.seen == [(1, 2, "red"), (1, 2, "blue"), (3, 4, "red"), (3, 4, "blue")]
    assert [row.name for row in rows_of(Table.test_of_a_product)] == ["1-2-warm", "1-2-cold", "3-4-warm", "3-4-cold"]


def test_each_row_gets_unique_names() -> None:
    tests = Table()
    run(tests.test_of_names)
    assert tests.seen == [(1, "key0", "shelf0"), (2, "key1", "shelf1")]


def test_pytest_sees_only_the_fixtures() -> None:
    assert list(inspect.signature(Table.test_in_one_event_loop).parameters) == ["self", "store"]
    assert list(inspect.signature(Table.test_of_names).parameters) == ["self"]


def test_all_rows_share_one_event_loop_and_the_same_fixtures() -> None:
    store: list[Any] = []
    run(Table().test_in_one_event_loop, store=store)
    assert [color for color, _ in store] == ["red", "blue"]
    assert len({id(loop) for _, loop in store}) == 1


def test_a_table_is_skipped_if_all_its_rows_are_skipped() -> None:
    with pytest.raises(pytest.skip.Exception, match="less than 4"):
        run(Table().test_that_skips, least=4)


def test_skipped_rows_among_others_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    run(Table().test_that_skips, least=3)
    assert capsys.readouterr().out == "Skipped rows: [1], [2]: less than 3\n"


def test_concurrent_rows_run_together_and_fail_by_name() -> None:
    with pytest.raises(AssertionError, match=r"^Failed rows, 1 of 3: \[2\]"):
        run(Table().test_of_rows_that_meet, all_are_there=asyncio.Event())


def test_a_hanging_row_ends_the_table() -> None:
    tests = HangingTable()
    lines = message_of(tests.test_that_hangs)
    assert tests.seen == [0, 3600]
    assert lines[:2] == ["Failed rows, 1 of 2: [3600]", "Rows not run after that: 1"]
    assert "not done after 2 s" in lines[2]


def test_an_error_in_a_row_is_named_and_the_first_is_the_cause() -> None:
    with pytest.raises(AssertionError) as failure:
        run(Table().test_that_raises)
    assert str(failure.value).splitlines()[1:] == ["[KeyError('a')] KeyError: 'a'", "[ValueError('b')] ValueError: b"]
    assert isinstance(failure.value.__cause__, KeyError)


def test_two_rows_with_the_same_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two rows of the same name"):

        @for_each("number", [1, 1])
        def test_of_twins(number: int) -> None:
            del number
