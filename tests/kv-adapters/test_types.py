"""Types of every kind: what is stored for a value, and that it comes back."""

import collections
import dataclasses
import datetime as dt
import enum
import ipaddress
import pathlib
import uuid
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, TypeVar

import pydantic
import pytest
from key_value.aio.adapters import DataclassAdapter, PydanticAdapter
from key_value.aio.stores.memory import MemoryStore
from pydantic import (
    AfterValidator,
    AliasChoices,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    Json,
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
    """A model that is written as text, and read from it."""

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

# By type: a value, and what is stored for it. What 0.5.0 of the predecessor stores, except where it says so.
STORED: list[tuple[Any, Any, dict[str, Any]]] = [
    (User, ADA, ADA_JSON),
    (Annotated[User, "note"], ADA, ADA_JSON),
    (Annotated[User, AfterValidator(lambda user: user)], ADA, ADA_JSON),
    (Tree, Tree(leaves=[Tree()]), {"items": {"leaves": [{"leaves": []}]}}),
    (Later, Later(user=Defined(when=NOON.date())), {"user": {"when": "2026-01-02"}}),
    (Box[int], Box[int](content=1), {"content": 1}),
    (Box[list[User]], Box[list[User]](content=[ADA]), {"content": [ADA_JSON]}),
    (Numbers, Numbers([1]), {"items": [1]}),
    (Scores, Scores({"a": 1}), {"a": 1}),
    (Owner, Owner(ADA), {"items": ADA_JSON}),
    (Extra, Extra.model_validate({"z": 1}), {"z": 1}),
    (Deferred, Deferred(next=Deferred()), {"items": Deferred(next=Deferred()).model_dump(mode="json")}),
    (list[User], [ADA], {"items": [ADA_JSON]}),
    (Users, [ADA], {"items": [ADA_JSON]}),
    (User | None, ADA, {"items": ADA_JSON}),
    (User | None, None, {"items": None}),
    (Cat | Dog, Dog(), {"items": {"kind": "dog", "lives": 1}}),
    (Annotated[Cat | Dog, Field(discriminator="kind")], Dog(), {"items": {"kind": "dog", "lives": 1}}),
    (int | User, 5, {"items": 5}),
    (dict[str, User], {"ada": ADA}, {"ada": ADA_JSON}),
    (dict[int, int], {1: 2}, {"1": 2}),
    (dict[Color, Level], {Color.RED: Level.HIGH}, {"red": 3}),
    (dict[str, Any], {"a": [1, None, {"b": 1.5}]}, {"a": [1, None, {"b": 1.5}]}),
    (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    (dict[str, int] | Movie, {"a": 1}, {"items": {"a": 1}}),
    (Movie, {"title": "Brazil"}, {"title": "Brazil"}),
    (Point, Point(1), {"x": 1, "at": "2026-01-02", "tags": []}),
    (list[Point], [Point(1, tags={"a"})], {"items": [{"x": 1, "at": "2026-01-02", "tags": ["a"]}]}),
    (Line, Line(start=Point(1)), {"start": {"x": 1, "at": "2026-01-02", "tags": []}, "length": 1.5}),
    (Pair, Pair(1, "a"), {"items": [1, "a"]}),
    (dt.datetime, NOON, {"items": "2026-01-02T12:00:00.000005Z"}),
    (dt.timedelta, dt.timedelta(days=1), {"items": "P1D"}),
    (uuid.UUID, ID, {"items": str(ID)}),
    (Decimal, Decimal("1.10"), {"items": "1.10"}),
    (bytes, b"raw", {"items": "raw"}),
    (Color, Color.RED, {"items": "red"}),
    (Literal["a", "b"], "b", {"items": "b"}),
    (set[int], {1}, {"items": [1]}),
    (tuple[int, str], (1, "a"), {"items": [1, "a"]}),
    (collections.deque[int], collections.deque([1]), {"items": [1]}),
    (pathlib.Path, pathlib.Path("a/b"), {"items": "a/b"}),
    (ipaddress.IPv4Address, ipaddress.IPv4Address("127.0.0.1"), {"items": "127.0.0.1"}),
    (AnyUrl, AnyUrl("https://example.com/"), {"items": "https://example.com/"}),
    (UserId, UserId("ada"), {"items": "ada"}),
    (Any, {"a": 1}, {"items": {"a": 1}}),
    (bool, False, {"items": False}),
    (int, 2**100, {"items": 2**100}),
    (float, 1.0, {"items": 1.0}),
    (str, "", {"items": ""}),
    (type(None), None, {"items": None}),
    # The predecessor stored these as well, and could not read them.
    (Strict, Strict(), Strict().model_dump(mode="json")),
    (InstanceOf[User], ADA, ADA_JSON),
    (dt.datetime | str, NOON, {"items": "2026-01-02T12:00:00.000005Z"}),
    (uuid.UUID | str, ID, {"items": str(ID)}),
    (
        Aliased,
        Aliased.example(),
        {"first": 1, "written": 2, "read": 3, "both": 4, "chosen": 5, "found": 6},
    ),
    (list[Aliased], [Aliased.example()], {"items": [Aliased.example().model_dump()]}),
    # These it could not store, or stored with more.
    (Computed, Computed(side=2), {"side": 2}),
    (Json[list[int]], [1], {"items": "[1]"}),
    (OneText, OneText(number=1), {"items": "n1"}),
]


@pytest.mark.parametrize(("of", "value", "stored"), STORED, ids=[str(of) for of, _, _ in STORED])
async def test_a_value_is_stored_as_its_type_says_and_comes_back(of: Any, value: Any, stored: dict[str, Any]) -> None:
    store = MemoryStore()
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, of, raise_on_validation_error=True)
    await adapter.put("key", value)
    assert await store.get("key") == stored
    found = await adapter.get("key")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.skipif("val_json_bytes" not in ConfigDict.__annotations__, reason="needs pydantic 2.9")
async def test_bytes_that_are_no_text_are_stored_as_the_model_says() -> None:
    store = MemoryStore()
    adapter = PydanticAdapter(store, Base64Bytes)
    await adapter.put("key", Base64Bytes.model_construct(raw=b"\xff\x00"))
    assert await store.get("key") == {"raw": "_wA="}
    assert await adapter.get("key") == Base64Bytes.model_construct(raw=b"\xff\x00")


async def test_wrapping_follows_the_type_and_not_the_value() -> None:
    class Items(BaseModel):
        items: list[int]

    store = MemoryStore()
    await PydanticAdapter(store, Items).put("key", Items(items=[1]))
    assert await store.get("key") == {"items": [1]}
    assert await PydanticAdapter(store, list[int]).get("key") == [1]


async def test_a_serializer_and_a_validator_are_each_applied_once() -> None:
    store = MemoryStore()
    await PydanticAdapter(store, Doubled).put("key", Doubled.model_construct(number=4))
    assert await store.get("key") == {"number": 8}
    assert await PydanticAdapter(store, Doubled).get("key") == Doubled.model_construct(number=4)


async def test_an_alias_is_read_as_well_as_the_name() -> None:
    store = MemoryStore()
    stored = {"FirstOne": 1, "written": 2, "Read": 3, "ReadAs": 4, "choice": 5, "places": [0, 6]}
    await store.put("key", stored)
    assert await PydanticAdapter(store, Aliased).get("key") == Aliased.example()


async def test_an_alias_that_is_the_name_of_another_field_does_not_confuse_them() -> None:
    class Entry(BaseModel):
        id: str = Field(alias="name")
        name: str = Field(alias="label")
        found: str = Field(validation_alias=AliasPath("deep", "id"), default="")
        deep: dict[str, str] = {}

    store = MemoryStore()
    entries = PydanticAdapter(store, list[Entry])
    value = [Entry.model_validate({"name": "1", "label": "Ada", "deep": {"id": "2"}})]
    await entries.put("key", value)
    assert await store.get("key") == {"items": [{"id": "1", "name": "Ada", "found": "2", "deep": {"id": "2"}}]}
    assert await entries.get("key") == value
    value[0].found = "3"
    await entries.put("key", value)
    assert await entries.get("key") == value


async def test_a_part_that_has_no_json_schema_leaves_the_rest_as_it_is() -> None:
    class Opaque:
        pass

    class Holder(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)

        opaque: Annotated[
            Opaque,
            BeforeValidator(lambda stored: stored if isinstance(stored, Opaque) else Opaque()),
            pydantic.PlainSerializer(lambda _: "opaque"),
        ]

    store = MemoryStore()
    adapter = PydanticAdapter(store, Holder)
    await adapter.put("key", Holder(opaque=Opaque()))
    assert await store.get("key") == {"opaque": "opaque"}
    assert isinstance(await adapter.get("key"), Holder)


@pytest.mark.skipif("serialize_by_alias" not in ConfigDict.__annotations__, reason="needs pydantic 2.11")
async def test_a_type_that_is_configured_to_write_aliases_writes_them_unless_it_could_not_read_them() -> None:
    class Written(BaseModel):
        model_config = ConfigDict(serialize_by_alias=True)

        one: int = Field(alias="One")

    class Unreadable(Written):
        two: int = Field(serialization_alias="Two")

    store = MemoryStore()
    value = Unreadable.model_validate({"One": 1, "two": 2})
    await PydanticAdapter(store, Written).put("written", Written.model_validate({"One": 1}))
    await PydanticAdapter(store, Unreadable).put("unreadable", value)
    assert await store.get_many(["written", "unreadable"]) == [{"One": 1}, {"one": 1, "two": 2}]
    assert await PydanticAdapter(store, Unreadable).get("unreadable") == value


async def test_a_default_factory_fills_what_older_data_lacks() -> None:
    store = MemoryStore(seed={"shelf": {"old": {"x": 1}}})
    assert await DataclassAdapter(store, Point).get("old", collection="shelf") == Point(1)


async def test_old_data_with_nan_is_read() -> None:
    nan = float("nan")

    class Old(MemoryStore):
        async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
            del key, collection
            return {"items": [1.0, nan]}

    for of in (list[float], list[float | dt.datetime], list[Annotated[float, AfterValidator(float)]]):
        found: Any = await PydanticAdapter[Any](Old(), of).get("key")
        assert str(found) == "[1.0, nan]"


async def test_what_a_type_accepts_may_be_put_in_its_place() -> None:
    store = MemoryStore()
    days: PydanticAdapter[Any] = PydanticAdapter(store, dt.date)
    await days.put("day", "2026-01-02")
    assert await days.get("day") == NOON.date()
    lists: PydanticAdapter[Any] = PydanticAdapter(store, list[User])
    await lists.put("all", (ADA,))
    assert await lists.get("all") == [ADA]


async def test_a_default_that_was_never_validated_is_stored_when_it_reads_back() -> None:
    class Site(BaseModel):
        url: AnyUrl = Field(default="https://example.com/")  # pyright: ignore[reportAssignmentType] — as many models do
        many: list[int] = Field(default=(1, 2))  # pyright: ignore[reportAssignmentType]

    store = MemoryStore()
    sites = PydanticAdapter(store, Site)
    await sites.put("key", Site())
    assert await sites.get("key") == Site(url=AnyUrl("https://example.com/"), many=[1, 2])


UNIONS: list[tuple[Any, Any]] = [
    (set[int] | list[int], [1]),
    (float | int, 1),
    (bool | int | float | str, True),
    (int | str, "5"),
]


@pytest.mark.parametrize(("of", "value"), UNIONS)
async def test_a_union_keeps_the_type_that_json_keeps(of: Any, value: Any) -> None:
    adapter: PydanticAdapter[Any] = PydanticAdapter(MemoryStore(), of)
    await adapter.put("key", value)
    assert await adapter.get("key") == value
