"""Storage configured by types: aliases, serializers, validators, defaults, and unions."""

import datetime as dt
from typing import Annotated, Any

import pydantic
import pytest
from key_value.aio.adapters import DataclassAdapter, PydanticAdapter
from key_value.aio.stores.memory import MemoryStore
from pydantic import (
    AfterValidator,
    AliasPath,
    AnyUrl,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
)

from .models import (
    ADA,
    NOON,
    Aliased,
    Base64Bytes,
    Doubled,
    Point,
    User,
)


@pytest.mark.skipif("val_json_bytes" not in ConfigDict.__annotations__, reason="needs pydantic 2.9")
async def test_binary_bytes_are_stored_as_configured_by_the_model() -> None:
    store = MemoryStore()
    adapter = PydanticAdapter(store, Base64Bytes)
    await adapter.put("key", Base64Bytes.model_construct(raw=b"\xff\x00"))
    assert await store.get("key") == {"raw": "_wA="}
    assert await adapter.get("key") == Base64Bytes.model_construct(raw=b"\xff\x00")


async def test_wrapping_depends_on_the_type_and_not_on_the_value() -> None:
    class Items(BaseModel):
        items: list[int]

    store = MemoryStore()
    await PydanticAdapter(store, Items).put("key", Items(items=[1]))
    assert await store.get("key") == {"items": [1]}
    assert await PydanticAdapter(store, list[int]).get("key") == [1]


async def test_a_serializer_and_a_validator_are_each_called_once() -> None:
    store = MemoryStore()
    await PydanticAdapter(store, Doubled).put("key", Doubled.model_construct(number=4))
    assert await store.get("key") == {"number": 8}
    assert await PydanticAdapter(store, Doubled).get("key") == Doubled.model_construct(number=4)


async def test_aliases_and_field_names_are_both_read() -> None:
    store = MemoryStore()
    stored = {"FirstOne": 1, "written": 2, "Read": 3, "ReadAs": 4, "choice": 5, "places": [0, 6]}
    await store.put("key", stored)
    assert await PydanticAdapter(store, Aliased).get("key") == Aliased.example()


async def test_an_alias_equal_to_the_name_of_another_field_is_unambiguous() -> None:
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


async def test_a_part_without_a_json_schema_does_not_affect_the_rest() -> None:
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
async def test_configured_aliases_are_written_only_if_they_can_be_read() -> None:
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


async def test_a_default_factory_fills_fields_missing_from_older_data() -> None:
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


async def test_a_value_that_a_type_accepts_may_be_put() -> None:
    store = MemoryStore()
    days: PydanticAdapter[Any] = PydanticAdapter(store, dt.date)
    await days.put("day", "2026-01-02")
    assert await days.get("day") == NOON.date()
    lists: PydanticAdapter[Any] = PydanticAdapter(store, list[User])
    await lists.put("all", (ADA,))
    assert await lists.get("all") == [ADA]


async def test_an_unvalidated_default_is_stored_if_it_can_be_read() -> None:
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
