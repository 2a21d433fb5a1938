"""Values that come back equal, values refused by put with their path, and the documented exceptions."""

import dataclasses
import datetime as dt
import enum
import threading
import uuid
from typing import Annotated, Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import pydantic
import pytest
from key_value.aio.adapters import DataclassAdapter, PydanticAdapter
from key_value.aio.errors import SerializationError
from key_value.aio.stores.memory import MemoryStore
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, PrivateAttr, SecretStr
from typing_extensions import TypedDict

T = TypeVar("T")
SECRET = "hunter2"  # noqa: S105 — looked for in messages
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.timezone.utc)
BERLIN = ZoneInfo("Europe/Berlin")


ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


def new_id() -> str:
    return uuid.uuid4().hex


@dataclasses.dataclass
class Order:
    item: str
    id: str = dataclasses.field(init=False, default_factory=new_id)
    state: str = dataclasses.field(init=False, default="new")


@dataclasses.dataclass
class Doubled:
    number: int
    double: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.double = self.number * 2


@pydantic.dataclasses.dataclass
class Validated:
    number: int
    id: str = dataclasses.field(init=False, default_factory=new_id)


class Orders(BaseModel):
    orders: list[Order]
    by_name: dict[str, Order] = {}


@dataclasses.dataclass(eq=False)
class ById:
    x: int
    note: Any = None


@dataclasses.dataclass
class Hidden:
    x: int
    password: SecretStr = dataclasses.field(default=SecretStr(""), compare=False)


class Numbered(BaseModel):
    """Compares equal by number although other fields differ."""

    number: int
    note: Any = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Numbered) and self.number == other.number

    __hash__ = None  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]


class Noted(BaseModel):
    name: str = "Ada"
    _note: str = PrivateAttr(default="")
    _made: dt.date = PrivateAttr(default_factory=NOON.date)


class Identified(BaseModel):
    _id: str = PrivateAttr(default_factory=new_id)


class Locked(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    _lock: Any = PrivateAttr(default_factory=threading.Lock)


class User(BaseModel):
    name: str = "Ada"
    friends: list["User"] = []
    settings: Any = None


class Admin(User):
    rights: list[str] = ["all"]


class Login(BaseModel):
    user: str
    password: SecretStr


class Revealed(BaseModel):
    password: Annotated[SecretStr, PlainSerializer(SecretStr.get_secret_value, return_type=str)]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Scores(BaseModel):
    by_id: dict[int | str, str]


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Movie(TypedDict):
    title: str


class Level(enum.IntEnum):
    HIGH = 3


class Box(BaseModel, Generic[T]):
    content: T


class Window(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")

    end: float


def order(**changed: str) -> Order:
    made = Order("tea")
    for name, value in changed.items():
        setattr(made, name, value)
    return made


def noted(note: str) -> Noted:
    value = Noted()
    value._note = note  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — compared by the test
    return value


KEPT: list[tuple[Any, Any]] = [
    (Order, order(id="5", state="paid")),
    (list[Order], [order(), order(state="sent")]),
    (dict[str, Order] | None, {"a": order()}),
    (Doubled, Doubled(2)),
    (Validated, Validated(1)),
    (Noted, Noted()),
    (dict[int, str], {1: "one", -1: "minus one"}),
    (dict[bool, int], {True: 1, False: 0}),
    (dict[float, int], {1.5: 1}),
    (dict[dt.date, int], {NOON.date(): 1}),
    (dict[uuid.UUID, int], {uuid.UUID(int=1): 1}),
    (dict[str, Any], {"a": [1, 1.0, True, None, "1", {"b": []}]}),
    (Revealed, Revealed(password=SecretStr(SECRET))),
    (Open, Open.model_validate({"a": [1]})),
    (User, User(friends=[User(settings={"a": 1})])),
    (Level | str, Level.HIGH),
    (Box[int], Box[int](content=1)),
]


@pytest.mark.parametrize(("of", "value"), KEPT, ids=str)
async def test_a_value_comes_back_equal(of: Any, value: Any) -> None:
    adapter: PydanticAdapter[Any] = PydanticAdapter(MemoryStore(), of, raise_on_validation_error=True)
    await adapter.put("key", value)
    for read in (await adapter.get("key"), await adapter.get("key")):
        assert read == value
        assert type(read) is type(value)


async def test_a_field_without_init_in_a_model_comes_back_or_is_refused() -> None:
    adapter = PydanticAdapter(MemoryStore(), Orders, raise_on_validation_error=True)
    value = Orders.model_construct(orders=[order(), order()], by_name={"a": order(id="6")})
    if pydantic.VERSION.startswith(("2.11.", "2.12.")):
        with pytest.raises(SerializationError, match=r"value\.orders\[0\]\.id"):
            await adapter.put("key", value)
    else:
        await adapter.put("key", value)
        assert await adapter.get("key") == value


async def test_an_unparametrized_generic_model_is_accepted_for_its_parametrized_form() -> None:
    adapter: PydanticAdapter[Any] = PydanticAdapter(MemoryStore(), Box[int])
    await adapter.put("key", Box(content=1))
    assert await adapter.get("key") == Box(content=1)


KEYS = "its keys would be read as other keys, because JSON keys are strings"
# Type, value, part of the message.
REFUSED: list[tuple[Any, Any, str]] = [
    (Scores, Scores(by_id={1: SECRET, "1": "text"}), f"Scores: value.by_id: {KEYS}"),
    (dict[int | str, str], {1: SECRET}, f"value: {KEYS}"),
    (dict[str | None, int], {None: 1, "None": 2}, f"value: {KEYS}"),
    (dict[str | None, int], {None: 1}, f"value: {KEYS}"),
    (dict[bool | str, int], {True: 1, "true": 2}, f"value: {KEYS}"),
    (dict[str, Any], {"m": {1: SECRET, "1": "text"}}, f"value[*]: {KEYS}"),
    (list[Any], [0, {"m": {(1, 2): 3}}], f"value[1][*]: {KEYS}"),
    (dict[tuple[int, int], str], {(1, 2): SECRET}, "value[*][*]: tuple_type"),
    (dict[str, Any], {"a": (1, 2)}, "value[*]: this tuple would be read as list"),
    (Any, {1, 2}, "value: this set would be read as list"),
    (User, User(settings={"when": NOON}), "value.settings[*]: this datetime would be read as str"),
    (User, User(settings=[uuid.UUID(int=1)]), "value.settings[0]: this UUID would be read as str"),
    (User, User(settings=User()), "value.settings: this User would be read as dict; name its type"),
    (User, User(settings=b"raw"), "value.settings: this bytes would be read as str"),
    (Any, Pair(1), "value: this Pair would be read as list"),
    (Open, Open.model_validate({SECRET: NOON}), "value[*]: this datetime would be read as str"),
    (User, {"name": SECRET}, "value: this dict would be read as User; put an instance of User, not a dict"),
    (int | User | dict[Any, Any], {"name": SECRET}, "value: this dict would be read as User"),
    (User, Admin(), "value: this Admin would be read as User"),
    (User, User(friends=[User(), Admin()]), "value.friends[1]: this Admin would be read as User"),
    (pydantic.SerializeAsAny[User], Admin(), "value: this Admin would be read as User"),
    (list[int] | set[int], {1}, "value: this set would be read as list"),
    (dt.datetime | str, NOON.isoformat(), "value: this str would be read as datetime"),
    (Login, Login(user="ada", password=SecretStr(SECRET)), "value.password: this SecretStr would be read as another"),
    (float, 2**53 + 1, "value: this int would be read as float"),
    (Window, Window.model_construct(end=2**53 + 1), "value.end: this int would be read as float"),
    (list[pydantic.SecretBytes | bytes], [b""], "value[0]: this bytes would be read as SecretBytes"),
    (Box[int] | Box[Level], Box[Level](content=Level.HIGH), "value: this Box[Level] would be read as Box[int]"),
    (SecretStr, SecretStr(SECRET), "value: this SecretStr would be read as another"),
    (Hidden, Hidden(1, SecretStr(SECRET)), "value.password: this SecretStr would be read as another"),
    (ById, ById(1, NOON), "value.note: this datetime would be read as str"),
    (Numbered, Numbered(number=1, note=NOON), "value.note: this datetime would be read as str"),
    (Noted, noted(SECRET), "value._note: a private attribute is not stored"),
    (list[Identified], [Identified()], "value[0]._id: a private attribute is not stored"),
    (Movie, {"title": "Brazil", SECRET: 1}, f"value: {KEYS}"),
    (Annotated[int, Field(gt=0)], -1, "value: greater_than"),
    (User, User.model_construct(name=5), "value.name: string_type"),  # type: ignore[arg-type]
    (
        Annotated[float, PlainSerializer(lambda number: round(number, 0))],
        1.25,
        "value: this float would be read as another",
    ),
    (Annotated[str, AfterValidator(str.title)], SECRET, "value: this str would be read as another"),
    (dt.datetime, NOON.replace(tzinfo=dt.timezone(dt.timedelta(seconds=1))), "value: this datetime would be read as"),
    (dict[str, Any], {"a": float("inf")}, "value[*]: this float would be read as NoneType"),
    (list[Any], [{"b": float("nan")}], "value[0][*]: this float would be read as NoneType"),
    (Window, Window(end=float("inf")), "value.end: it is not a finite number"),
    (dict[str, float], {"a": float("nan")}, "value.a: it is not a finite number"),
    (User, User(settings=ENDLESS), "value.settings[0]: Circular reference detected"),
]


@pytest.mark.parametrize(("of", "value", "said"), REFUSED, ids=[said for _, _, said in REFUSED])
async def test_a_value_is_refused_with_its_path_before_anything_is_stored(of: Any, value: Any, said: str) -> None:
    store = MemoryStore()
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, of)
    for put in (lambda: adapter.put("key", value), lambda: adapter.put_many(["key"], [value])):
        with pytest.raises(SerializationError) as failure:
            await put()
        assert said in str(failure.value)
        assert SECRET not in str(failure.value)
    assert await store.collections() == []


# The exceptions, each with its reason in docs/adapters.md.


async def test_an_excluded_field_has_its_default_when_read() -> None:
    class Session(BaseModel):
        user: str
        cache: dict[str, Any] = Field(default={}, exclude=True)

    @dataclasses.dataclass
    class Job:
        name: str
        handle: Annotated[Any, Field(exclude=True)] = None

    store = MemoryStore()
    await PydanticAdapter(store, Session).put("session", Session(user="ada", cache={"a": object()}))
    assert await store.get("session") == {"user": "ada"}
    assert await PydanticAdapter(store, Session).get("session") == Session(user="ada")
    await DataclassAdapter(store, Job).put("job", Job("tea", object()))
    assert await DataclassAdapter(store, Job).get("job") == Job("tea")


async def test_a_private_attribute_compared_by_identity_is_recreated() -> None:
    adapter = PydanticAdapter(MemoryStore(), Locked)
    await adapter.put("key", Locked())
    assert isinstance(await adapter.get("key"), Locked)


async def test_a_datetime_in_a_repeated_hour_is_the_same_instant() -> None:
    adapter = PydanticAdapter(MemoryStore(), dt.datetime)
    twice = dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)
    await adapter.put("key", twice)
    read = await adapter.get("key")
    assert read is not None
    assert read.astimezone(dt.timezone.utc) == dt.datetime(2026, 10, 25, 1, 30, tzinfo=dt.timezone.utc)


async def test_nan_serialized_as_text_comes_back_as_nan() -> None:
    adapter = PydanticAdapter[float](
        MemoryStore(), Annotated[float, PlainSerializer(lambda number: f"{number}", return_type=str)]
    )
    await adapter.put("key", float("nan"))
    assert str(await adapter.get("key")) == "nan"


async def test_the_set_of_assigned_fields_is_not_kept() -> None:
    adapter = PydanticAdapter(MemoryStore(), User)
    await adapter.put("key", User(name="Bob"))
    assert (await adapter.get("key") or User()).model_fields_set == {"name", "friends", "settings"}


async def test_objects_without_eq_are_equal_if_their_serialized_forms_are_equal() -> None:
    class Opaque:
        def __init__(self, text: str) -> None:
            self.text = text

    as_text = PlainSerializer(lambda opaque: opaque.text, return_type=str)
    as_nothing = PlainSerializer(lambda _: new_id(), return_type=str)
    parsed = pydantic.BeforeValidator(lambda given: Opaque(given) if isinstance(given, str) else given)
    store = MemoryStore()
    of: Any = Annotated[pydantic.InstanceOf[Opaque], parsed, as_text]
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, of)
    await adapter.put("key", Opaque("a"))
    read: Any = await adapter.get("key")
    assert read.text == "a"
    forgetful: Any = Annotated[pydantic.InstanceOf[Opaque], parsed, as_nothing]
    with pytest.raises(SerializationError, match="objects without __eq__"):
        await PydanticAdapter[Any](store, forgetful).put("key", Opaque("a"))
