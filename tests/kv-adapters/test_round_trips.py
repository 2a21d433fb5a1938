"""Values come back equal or are refused, for random types that pydantic supports and random values.

ADAPTER_EXAMPLES is the number of types that each test draws, 60 by default; it draws ten values for each of them.
"""

import asyncio
import dataclasses
import datetime as dt
import os
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject
from key_value.aio.adapters import PydanticAdapter
from key_value.aio.errors import SerializationError
from key_value.aio.stores.memory import MemoryStore
from pydantic import (
    BaseModel,
    TypeAdapter,
)

from .drawn_types import Box, Typed, drawn, drawn_with_init, ordinary

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")


def outline(value: Any) -> Any:
    """Return a form for comparison by `==`: all fields of records included, NaN equal to NaN, datetimes in UTC."""
    if isinstance(value, BaseModel):
        private = dict(value.__pydantic_private__ or {})
        return type(value), {name: outline(part) for name, part in [*value, *private.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value), {field.name: outline(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: outline(part) for key, part in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        items = cast("Sequence[Any]", value)
        return type(items), [outline(part) for part in items]
    if isinstance(value, dt.datetime) and (offset := value.utcoffset()) is not None:
        return value.replace(tzinfo=None) - dt.datetime.min - offset, "UTC"  # noqa: DTZ901 — both are naive
    return value if value == value else (type(value), str(value))  # noqa: PLR0124 — NaN is not


VALUES_PER_TYPE = 10
REFUSED: Any = object()
many = settings(
    max_examples=int(os.environ.get("ADAPTER_EXAMPLES", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)


def read_after_puts(of: Any, values: list[Any]) -> list[Any]:
    """Return the value read after each put, or REFUSED."""
    adapter: PydanticAdapter[Any] = PydanticAdapter(MemoryStore(), of, raise_on_validation_error=True)

    async def read_after_put(value: Any) -> Any:
        try:
            await adapter.put("key", value)
        except SerializationError:
            return REFUSED
        return await adapter.get("key")

    async def read_all() -> list[Any]:
        return [await read_after_put(value) for value in values]

    return asyncio.run(read_all())


def draw_values(data: DataObject, typed: Typed) -> list[Any]:
    return [data.draw(typed.values) for _ in range(VALUES_PER_TYPE)]


@many
@given(ordinary, st.data())
def test_values_of_ordinary_types_come_back(of: Typed, data: DataObject) -> None:
    values = draw_values(data, of)
    read = read_after_puts(of.of, values)
    assert [outline(value) for value in read] == [outline(value) for value in values]


@many
@given(drawn, st.data())
def test_values_of_any_type_come_back_equal_or_are_refused(of: Typed, data: DataObject) -> None:
    values = draw_values(data, of)
    for value, read in zip(values, read_after_puts(of.of, values), strict=True):
        assert read is REFUSED or outline(read) == outline(value)


@many
@given(drawn_with_init, drawn, st.data())
def test_a_value_of_another_type_is_read_as_pydantic_validates_it_or_refused(
    of: Typed, other: Typed, data: DataObject
) -> None:
    boxed: Any = Box[of.of]
    values = draw_values(data, other)
    contents = read_after_puts(boxed, [boxed.model_construct(content=value) for value in values])
    for value, read, box in zip(values, read_after_puts(of.of, values), contents, strict=True):
        for found in (read, box if box is REFUSED else box.content):
            if found is not REFUSED and outline(found) != outline(value):
                assert outline(found) == outline(TypeAdapter(of.of).validate_python(value))
