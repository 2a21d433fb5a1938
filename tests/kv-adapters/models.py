"""Types of every kind, for the tests of stored values."""

import dataclasses
import datetime as dt
import enum
import pathlib
import uuid
from decimal import Decimal
from typing import Any, Generic, Literal, NamedTuple, NewType, TypeVar

from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    computed_field,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from typing_extensions import NotRequired, TypeAliasType, TypedDict

T = TypeVar("T")
NOON = dt.datetime(2026, 1, 2, 12, 0, 0, 5, tzinfo=dt.timezone.utc)
ID = uuid.UUID(int=1)


class User(BaseModel):
    name: str
    age: int = 0


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int = 1


class Tree(BaseModel):
    leaves: list["Tree"] = []


class Later(BaseModel):
    user: "Defined | None" = None


class Defined(BaseModel):
    when: dt.date


class Box(BaseModel, Generic[T]):
    content: T


class Numbers(RootModel[list[int]]):
    pass


class Scores(RootModel[dict[str, int]]):
    pass


class Owner(RootModel[User]):
    pass


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Pair(NamedTuple):
    left: int
    right: str


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: int
    at: dt.date = dt.date(2026, 1, 2)
    tags: set[str] = dataclasses.field(default_factory=set[str])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    start: Point
    length: float = dataclasses.field(init=False, default=1.5)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)

    when: dt.datetime = NOON
    day: dt.date = NOON.date()
    took: dt.timedelta = dt.timedelta(seconds=90)
    id: uuid.UUID = ID
    price: Decimal = Decimal("1.10")
    raw: bytes = b"raw"
    some: frozenset[int] = frozenset({1})
    pair: tuple[int, str] = (1, "a")
    color: Color = Color.RED
    level: Level = Level.HIGH
    by_number: dict[int, Point] = {7: Point(1)}
    either: dt.datetime | uuid.UUID | int = ID
    path: pathlib.Path = pathlib.Path("a/b")


class Aliased(BaseModel):
    first: int = Field(alias="FirstOne")
    written: int = Field(serialization_alias="Written")
    read: int = Field(validation_alias="Read")
    both: int = Field(validation_alias="ReadAs", serialization_alias="WrittenAs")
    chosen: int = Field(validation_alias=AliasChoices("choice", AliasPath("deep", 0)))
    found: int = Field(validation_alias=AliasPath("places", 1))

    @classmethod
    def example(cls) -> "Aliased":
        return cls.model_validate({"FirstOne": 1, "written": 2, "Read": 3, "ReadAs": 4, "choice": 5, "places": [0, 6]})


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    side: int

    @computed_field
    @property
    def area(self) -> int:
        return self.side**2


class Base64Bytes(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    raw: bytes


class OneText(BaseModel):
    """A model that is stored as text."""

    number: int

    @model_serializer
    def _write(self) -> str:
        return f"n{self.number}"

    @model_validator(mode="before")
    @classmethod
    def _parse(cls, stored: Any) -> Any:
        return {"number": int(stored[1:])} if isinstance(stored, str) else stored


class Doubled(BaseModel):
    number: int

    @field_serializer("number")
    def _double(self, number: int) -> int:
        return number * 2

    @field_validator("number")
    @classmethod
    def _halve(cls, number: int) -> int:
        return number // 2


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")


class Deferred(BaseModel):
    model_config = ConfigDict(defer_build=True)

    when: dt.datetime = NOON
    next: "Deferred | None" = None


UserId = NewType("UserId", str)
Users = TypeAliasType("Users", list[User])
ADA = User(name="Ada")
ADA_JSON: dict[str, Any] = {"name": "Ada", "age": 0}
