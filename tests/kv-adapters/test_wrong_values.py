"""Invalid stored data, invalid values, and unsupported types."""

import dataclasses
import logging
import traceback
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from key_value.aio.adapters import BaseModelAdapter, DataclassAdapter, PydanticAdapter
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.errors import DeserializationError, InvalidKeyError, SerializationError
from key_value.aio.stores.memory import MemoryStore
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    RootModel,
    ValidationError,
    model_serializer,
)
from typing_extensions import TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "hunter2"  # noqa: S105 — looked for in messages


class Inner(BaseModel):
    token: int


class Account(BaseModel):
    name: str = ""
    tags: list[int] = []
    inner: Inner | None = None
    by_user: dict[str, Inner] = {}
    aliased: int = Field(default=0, alias="the-alias")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Lenient(BaseModel):
    """A model that accepts an empty object."""

    number: int = 0


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"


class Dog(BaseModel):
    kind: Literal["dog"] = "dog"
    age: int = 0


class Movie(TypedDict):
    title: str


@dataclasses.dataclass
class Point:
    x: int


def _fail(value: object) -> int:
    raise RuntimeError(value)


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]

# Type, stored data, part of the message.
WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (Account, {"name": [SECRET]}, "Account: value.name: string_type"),
    (Account, {"tags": [1, SECRET]}, "value.tags[1]: int_parsing"),
    (Account, {"inner": {"token": SECRET}}, "value.inner.token: int_parsing"),
    (Account, {"by_user": {SECRET: {}}}, "value.by_user[*].token: missing"),
    (Account, {"the-alias": SECRET}, "value['the-alias']: int_parsing"),
    (Closed, {"other": SECRET}, "value.other: extra_forbidden"),
    (list[Account], {"items": [{"name": [SECRET]}]}, "value[0].name: string_type"),
    (list[Account], {"items": SECRET}, "value: list_type"),
    (list[Account], {"name": SECRET}, "it has no 'items'"),
    (list[Account], {}, "it has no 'items'"),
    (Pet, {"items": {"kind": SECRET}}, "value: union_tag_invalid"),
    (Pet, {"items": {"kind": "dog", "age": SECRET}}, "value.dog.age: int_parsing"),
    (int | datetime, {"items": SECRET}, "value.int: int_parsing, value.datetime: datetime_from_date_parsing"),
    (dict[str, int], {SECRET: SECRET}, "value[*]: int_parsing"),
    (dict[int, int], {SECRET: 1}, "value[*][*]: int_parsing"),
    (Movie, {"title": {SECRET: 1}}, "value.title: string_type"),
    (Point, {"x": SECRET}, "value.x: int_parsing"),
    (Literal["a"], {"items": SECRET}, "value: literal_error"),
    (datetime, {"items": SECRET}, "value: datetime_from_date_parsing"),
    (RootModel[list[int]], {"items": [SECRET]}, "value[0]: int_parsing"),
    (list[int], {"items": [SECRET] * 9}, "value[4]: int_parsing, and 4 more"),
    (Annotated[int, AfterValidator(_fail)], {"items": 5}, "RuntimeError"),
    (Annotated[str, BeforeValidator(_fail)], {"items": SECRET}, "RuntimeError"),
]
each_wrong = pytest.mark.parametrize(("of", "stored", "said"), WRONG, ids=[said for _, _, said in WRONG])


def seeded(stored: dict[str, Any]) -> MemoryStore:
    return MemoryStore(seed={"shelf": {"key": stored}})


@each_wrong
async def test_an_invalid_payload_is_an_error_that_names_the_fields(of: Any, stored: dict[str, Any], said: str) -> None:
    adapter: PydanticAdapter[Any] = PydanticAdapter(seeded(stored), of, "shelf", raise_on_validation_error=True)
    reads: list[Callable[[], Any]] = [
        lambda: adapter.get("key"),
        lambda: adapter.get("key", default=None),
        lambda: adapter.ttl("key"),
        lambda: adapter.get_many(["absent", "key"]),
        lambda: adapter.ttl_many(["absent", "key"]),
    ]
    for read in reads:
        with pytest.raises(DeserializationError) as failure:
            await read()
        assert said in str(failure.value)
        assert "(collection='shelf', key='key')" in str(failure.value)
        assert SECRET not in "".join(traceback.format_exception(failure.value))


@each_wrong
async def test_an_invalid_payload_reads_as_absent_and_is_logged_without_values(
    of: Any, stored: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    adapter: PydanticAdapter[Any] = PydanticAdapter(seeded(stored), of, "shelf")
    assert await adapter.get("key") is None
    assert await adapter.get("key", default="default") == "default"
    assert await adapter.ttl("key") == (None, None)
    assert await adapter.get_many(["absent", "key"], default="default") == ["default", "default"]
    assert await adapter.ttl_many(["absent", "key"]) == [(None, None), (None, None)]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 5
    assert all(said in message for message in caplog.messages)
    assert SECRET not in caplog.text


async def test_an_invalid_payload_does_not_affect_others_in_its_batch() -> None:
    store = MemoryStore()
    await store.put_many(["good", "bad"], [{"x": 1}, {"x": None}])
    adapter = DataclassAdapter(store, Point)
    assert await adapter.get_many(["bad", "good"]) == [None, Point(1)]
    assert await adapter.ttl_many(["good", "bad"]) == [(Point(1), None), (None, None)]


async def test_an_invalid_payload_is_left_unchanged_and_can_be_replaced() -> None:
    store = seeded({"x": None})
    adapter = DataclassAdapter(store, Point, "shelf")
    assert await adapter.get("key") is None
    assert await store.get("key", collection="shelf") == {"x": None}
    await adapter.put("key", Point(2))
    assert await adapter.get("key") == Point(2)


async def test_data_that_the_store_reports_as_corrupt_is_always_an_error() -> None:
    class Corrupt(MemoryStore):
        async def get(self, key: str, *, collection: str | None = None) -> dict[str, Any] | None:
            del key, collection
            message = "the stored value is not JSON"
            raise DeserializationError(message)

    with pytest.raises(DeserializationError, match="not JSON"):
        await PydanticAdapter(Corrupt(), int).get("key", default=1)


async def test_the_validation_error_is_in_the_exception_chain() -> None:
    adapter = PydanticAdapter(seeded({"x": SECRET}), Point, "shelf", raise_on_validation_error=True)
    with pytest.raises(DeserializationError) as failure:
        await adapter.get("key")
    cause = failure.value.__context__
    while cause is not None and not isinstance(cause, ValidationError):
        cause = cause.__context__
    assert isinstance(cause, ValidationError)


class Unserializable:
    pass


@dataclasses.dataclass
class Part:
    raw: bytes = b""


class Holder(BaseModel):
    parts: list[Part]


class UnannotatedSerializer(BaseModel):
    @model_serializer
    def _write(self):  # noqa: ANN202 — the missing annotation is tested
        return SECRET


# Type, invalid value, part of the message.
INVALID_VALUES: list[tuple[Any, Any, str]] = [
    (Lenient, Cat(), "Lenient: value: this Cat would be read as Lenient"),
    (Lenient, None, "value: it must be of type Lenient, not NoneType"),
    (Lenient, SECRET, "value: it must be of type Lenient, not str"),
    (Lenient, {"number": SECRET}, "value.number: int_parsing"),
    (Lenient, Lenient.model_construct(number=SECRET), "value.number: int_parsing"),  # type: ignore[arg-type]
    (list[Lenient], [Lenient(), Cat()], "value[1]: this Cat would be read as Lenient"),
    (list[Lenient], 5, "value: list_type"),
    (dict[str, Lenient], {SECRET: Cat()}, "value[*]: this Cat would be read as Lenient"),
    (Lenient | None, Cat(), "value: this Cat would be read as Lenient"),
    (Point, Point(SECRET), "value.x: int_parsing"),  # type: ignore[arg-type]
    (Point, Lenient(), "value.x: missing"),
    (Movie, {}, "value.title: missing"),
    (int, SECRET, "value: int_parsing"),
    (str, 5, "value: string_type"),
    (datetime, SECRET, "value: datetime_from_date_parsing"),
    (Literal["a"], SECRET, "value: literal_error"),
    (dict[str, int], {1: 2}, "value: its keys would be read as other keys"),
    (list[Any], [1, Unserializable()], "value[1]: Unable to serialize unknown type"),
    (dict[str, Any], {SECRET: [Unserializable()]}, "value[*][0]: Unable to serialize unknown type"),
    (Holder, Holder(parts=[Part(), Part(b"\xff" + SECRET.encode())]), "value.parts[1].raw: UnicodeDecodeError"),
    (RootModel[set[Any]], RootModel[set[Any]]({Unserializable()}), "value: Unable to serialize unknown type"),
    (bytes, b"\xff" + SECRET.encode(), "value: UnicodeDecodeError"),
    (float, float("nan"), "value.items: it is not a finite number"),
    (dict[str, float], {"a": float("inf")}, "value.a: it is not a finite number"),
    (str, "\ud800", "SerializationError|lone surrogate|string_unicode"),
    (UnannotatedSerializer, UnannotatedSerializer(), "its serializer returns str, not an object"),
    (Annotated[int, PlainSerializer(_fail)], 5, "value: PydanticSerializationError"),
    (list[int], iter([1]), "value: this list_iterator would be read as list"),
]


@pytest.mark.parametrize(("of", "value", "said"), INVALID_VALUES)
async def test_an_invalid_value_is_refused_before_anything_is_stored(of: Any, value: Any, said: str) -> None:
    store = MemoryStore()
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, of)
    for put in (lambda: adapter.put("key", value), lambda: adapter.put_many(["key"], [value])):
        with pytest.raises(SerializationError, match="serialize") as failure:
            await put()
        assert any(each in str(failure.value) for each in said.split("|"))
        assert SECRET not in "".join(traceback.format_exception(failure.value))
    assert await store.collections() == []


async def test_a_batch_with_one_invalid_value_stores_nothing() -> None:
    store = MemoryStore()
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, Point)
    with pytest.raises(SerializationError):
        await adapter.put_many(["a", "b"], [Point(1), Point(SECRET)])  # type: ignore[arg-type]
    assert await store.collections() == []


class Unfinished(BaseModel):
    part: "Undefined"  # type: ignore[name-defined]  # noqa: F821  # pyright: ignore[reportUndefinedVariable]


FIVE: Any = 5
NOWHERE: Any = "Nowhere"

# Argument that is not a type, reason.
NOT_TYPES: list[tuple[Any, str]] = [
    (Unserializable, "Unserializable: Unable to generate pydantic-core schema for <class '.*Unserializable'>;"),
    (list[Unserializable], "Unable to generate pydantic-core schema for <class '.*Unserializable'>;"),
    (Unfinished, "(name 'Undefined' is not defined|you should define `Undefined`)"),
    (list[Unfinished], "(name 'Undefined' is not defined|you should define `Undefined`)"),
    (list[NOWHERE], "name 'Nowhere' is not defined"),
    (list[Any] | Annotated[Cat | Lenient, Field(discriminator="kind")], "Model 'Lenient' needs a discriminator field"),
    (list[FIVE], "a part of it is not a type"),
    (5, "an instance of int: it is not a type"),
    (SECRET, "an instance of str: it is not a type"),
    (Cat(), "an instance of Cat: it is not a type"),
    ("Cat", "it is not a type"),
]


@pytest.mark.parametrize(("of", "said"), NOT_TYPES)
def test_a_type_that_pydantic_cannot_handle_is_refused_with_the_reason(of: Any, said: str) -> None:
    expected = rf"pydantic cannot handle .*{said}.* pass a type it can: a model, dataclass"
    with pytest.raises(TypeError, match=expected) as failure:
        PydanticAdapter[Any](MemoryStore(), of)
    assert SECRET not in "".join(traceback.format_exception(failure.value))


NOT_MODELS: list[Any] = [int, Point, Movie, BaseModel, list[int], list, tuple[Cat, ...], Cat | Dog, Cat | None, Cat()]


@pytest.mark.parametrize("of", NOT_MODELS)
def test_an_argument_that_is_not_a_model_is_refused(of: Any) -> None:
    with pytest.raises(TypeError, match="pydantic_model must be a subclass of BaseModel or a list of one"):
        BaseModelAdapter[Any](MemoryStore(), of)


NOT_DATACLASSES: list[Any] = [int, Cat, Movie, list[int], list, list[Cat], Point | None, Point(1)]


@pytest.mark.parametrize("of", NOT_DATACLASSES)
def test_an_argument_that_is_not_a_dataclass_is_refused(of: Any) -> None:
    with pytest.raises(TypeError, match="dataclass_type must be a dataclass or a list of one"):
        DataclassAdapter(MemoryStore(), of)


def test_an_invalid_default_collection_is_refused() -> None:
    with pytest.raises(InvalidKeyError, match="a collection must be 1 to"):
        PydanticAdapter(MemoryStore(), int, default_collection="")
    with pytest.raises(TypeError, match="collection must be a str"), pytest.warns(TypeViolationWarning):
        PydanticAdapter(MemoryStore(), int, default_collection=5)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_an_object_without_the_eight_methods_is_warned_about() -> None:
    with pytest.warns(TypeViolationWarning, match="key_value"):
        PydanticAdapter(object(), int)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
