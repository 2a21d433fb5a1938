"""Validation of decoded JSON gives the same result as validation of JSON text for the types that use it."""

import datetime as dt
import enum
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.adapters.core_schemas import reads_like_json
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, TypeAdapter, ValidationError
from typing_extensions import TypedDict


class Color(enum.Enum):
    RED = "a"


class Level(enum.IntEnum):
    HIGH = 1


class Movie(TypedDict, total=False):
    a: int
    type: dt.date


@dataclass
class Point:
    a: int = 0
    b: dt.time | None = None


class Model(BaseModel):
    a: int = 0
    b: dt.datetime | None = None
    default: list["Model"] = []
    metadata: dict[str, Any] = Field(default={"type": "function"}, alias="c")


class StrictNumbers(BaseModel):
    model_config = ConfigDict(strict=True)

    a: int | float | str = 0


class Cat(BaseModel):
    kind: Literal["a"]
    when: dt.date | None = None


class Dog(BaseModel):
    kind: Literal["b"]


EQUIVALENT: list[Any] = [
    Model,
    StrictNumbers,
    Point,
    Movie,
    list[Point],
    int | str,
    float | int | bool | None,
    Annotated[Cat | Dog, Field(discriminator="kind")],
    list[int | str | None] | None,
    dict[int, int],
    dict[str, dt.time],
    set[int],
    frozenset[str],
    tuple[int, ...],
    tuple[int, dt.date],
    dict[str, uuid.UUID],
    list[Color],
    list[Level],
    Literal["a", 1, True] | None,
    Any,
]

NOT_EQUIVALENT: list[Any] = [
    StrictNumbers | dict[str, bool],
    list[int] | list[str],
    Decimal,
    dt.timedelta,
    Model | StrictNumbers,
    dt.datetime | str,
    uuid.UUID | Model,
    Point | dict[str, int],
    dict[int, int] | dict[str, int],
    Annotated[dt.date, Strict()],
    Annotated[int, AfterValidator(lambda number: number)],
    Literal[Color.RED],
    bytes,
    list[Annotated[uuid.UUID, Strict()]],
]

texts = st.sampled_from(
    ["", "a", "b", "1", "1.5", "true", "2026-01-02", "12:00", "2026-01-02T12:00:00Z", "P1D", str(uuid.UUID(int=1))]
)
numbers = (
    st.integers(-2, 2)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, 1e22])
)
leaves = st.none() | st.booleans() | numbers | texts
payloads = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts | st.sampled_from(["c", "default", "kind", "type"]), inner, max_size=4)
    ),
)


def outcome(validate: Callable[[Any], object], payload: object) -> object:
    try:
        value = validate(payload)
    except ValidationError:
        return "refused"
    return value, repr(value)


@pytest.mark.parametrize("of", EQUIVALENT, ids=str)
def test_decoded_json_is_used_for_types_with_equal_results(of: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    assert reads_like_json(adapter.core_schema)

    @given(payloads)
    def agrees(payload: Any) -> None:
        assert outcome(adapter.validate_python, payload) == outcome(adapter.validate_json, json.dumps(payload))

    agrees()


@pytest.mark.parametrize("of", NOT_EQUIVALENT, ids=str)
def test_decoded_json_is_not_used_for_other_types(of: Any) -> None:
    assert not reads_like_json(TypeAdapter[Any](of).core_schema)
