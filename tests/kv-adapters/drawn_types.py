"""Random types that pydantic supports, each with a strategy for its values."""

import dataclasses
import datetime as dt
import enum
import ipaddress
import itertools
import pathlib
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import pydantic
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    RootModel,
    SecretBytes,
    SecretStr,
    create_model,
)
from typing_extensions import NotRequired, TypedDict

T = TypeVar("T")
Values = SearchStrategy[Any]


@dataclasses.dataclass(frozen=True)
class Typed:
    """A type and a strategy for its values."""

    of: Any
    values: Values = dataclasses.field(repr=False)
    hashable: bool = False


class Color(enum.Enum):
    RED = "red"
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 3


class Word(str, enum.Enum):
    ONE = "1"
    TRUE = "true"


class Pair(NamedTuple):
    left: int
    right: str


class Opaque:
    """A class that pydantic does not support."""


class Cat(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int = 9


class Dog(BaseModel):
    model_config = ConfigDict(extra="allow")

    kind: Literal["dog"] = "dog"
    note: Any = None


class Kitten(Cat):
    weight: float = 0.5


class Box(BaseModel, Generic[T]):
    content: T


@dataclasses.dataclass(order=True)
class Point:
    x: int
    y: float = dataclasses.field(default=0.0, compare=False)


texts = st.text(max_size=5) | st.sampled_from(
    ["", "1", "1.5", "true", "None", "null", "2026-01-02", "red", "P1D", "-inf"]
)
ordinary_texts = st.text(st.characters(codec="utf-8"), max_size=5)
floats = st.floats(allow_nan=False, allow_infinity=False)
minutes = st.integers(-14 * 60, 14 * 60).map(lambda offset: dt.timezone(dt.timedelta(minutes=offset)))
seconds = st.integers(-80_000, 80_000).map(lambda offset: dt.timezone(dt.timedelta(seconds=offset)))
days = st.dates()
spans = st.timedeltas(dt.timedelta(days=-10_000), dt.timedelta(days=10_000))


NOTHING = Typed(type(None), st.none(), hashable=True)
# Types with values that always survive a round trip through JSON.
ORDINARY = (
    Typed(int, st.integers(), hashable=True),
    Typed(float, floats, hashable=True),
    Typed(str, ordinary_texts, hashable=True),
    Typed(bool, st.booleans(), hashable=True),
    NOTHING,
    Typed(dt.datetime, st.datetimes(timezones=st.none() | minutes), hashable=True),
    Typed(dt.date, days, hashable=True),
    Typed(dt.time, st.times(), hashable=True),
    Typed(dt.timedelta, spans, hashable=True),
    Typed(Decimal, st.decimals(allow_nan=False, allow_infinity=False), hashable=True),
    Typed(uuid.UUID, st.uuids(), hashable=True),
    Typed(Color, st.sampled_from(Color), hashable=True),
    Typed(Level, st.sampled_from(Level), hashable=True),
    Typed(Word, st.sampled_from(Word), hashable=True),
    Typed(Literal["a", 1], st.sampled_from(["a", 1]), hashable=True),
    Typed(bytes, ordinary_texts.map(str.encode), hashable=True),
    Typed(pathlib.PurePosixPath, ordinary_texts.map(pathlib.PurePosixPath), hashable=True),
    Typed(ipaddress.IPv4Address, st.ip_addresses(v=4), hashable=True),
    Typed(AnyUrl, st.just(AnyUrl("https://example.com/a?b=1")), hashable=True),
)

REVEALED = Annotated[SecretStr, PlainSerializer(lambda secret: secret.get_secret_value(), return_type=str)]
ROUNDED = Annotated[float, PlainSerializer(lambda number: round(number, 1), return_type=float)]

HARDER = (
    Typed(float, st.floats() | st.integers(), hashable=True),
    Typed(str, st.text(st.characters(exclude_categories=()), max_size=5) | texts, hashable=True),
    Typed(bytes, st.binary(max_size=5), hashable=True),
    Typed(dt.datetime, st.datetimes(timezones=st.none() | minutes | seconds | st.timezones()), hashable=True),
    Typed(dt.time, st.times(timezones=st.none() | minutes), hashable=True),
    Typed(dt.timedelta, st.timedeltas(), hashable=True),
    Typed(Decimal, st.decimals(allow_nan=False), hashable=True),
    Typed(SecretStr, texts.map(SecretStr), hashable=True),
    Typed(SecretBytes, st.binary(max_size=5).map(SecretBytes), hashable=True),
    Typed(REVEALED, texts.map(SecretStr), hashable=True),
    Typed(ROUNDED, floats, hashable=True),
    Typed(Annotated[str, pydantic.AfterValidator(lambda text: text + "!")], texts, hashable=True),
    Typed(Annotated[str, pydantic.StringConstraints(to_lower=True)], texts, hashable=True),
    Typed(Annotated[int, Field(ge=0)], st.integers(), hashable=True),
    Typed(Pair, st.builds(Pair, st.integers(), texts), hashable=True),
    Typed(Cat, st.builds(Cat, lives=st.integers()) | st.builds(Kitten, weight=floats)),
    Typed(Point, st.builds(Point, st.integers(), st.floats())),
)

scalars: Values = st.one_of(*(each.values for each in (*ORDINARY, *HARDER)))
hashables: Values = st.one_of(*(each.values for each in (*ORDINARY, *HARDER) if each.hashable)) | st.tuples(
    st.integers(), texts
)
anything: Values = st.recursive(
    scalars | st.builds(Opaque),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(hashables, max_size=3)
        | st.frozensets(hashables, max_size=3)
        | st.dictionaries(hashables, inner, max_size=3)
    ),
    max_leaves=5,
)
UNTYPED = (
    Typed(Any, anything),
    Typed(object, anything),
    Typed(dict, st.dictionaries(hashables, anything, max_size=3)),
    Typed(list, st.lists(anything, max_size=3)),
    Typed(set, st.sets(hashables, max_size=3)),
    Typed(Dog, st.builds(Dog, note=anything) | st.builds(Dog, extra=anything)),
    Typed(Annotated[Cat | Dog, Field(discriminator="kind")], st.builds(Cat) | st.builds(Dog, more=anything)),
)

numbers = itertools.count()


def new_name() -> str:
    return f"Drawn{next(numbers)}"


def containers(inner: SearchStrategy[Typed], *, init: SearchStrategy[bool]) -> SearchStrategy[Typed]:
    """Return container types of drawn parts; their values come back if those of the parts do."""

    def one(make: Callable[[Typed], Typed]) -> SearchStrategy[Typed]:
        return inner.map(make)

    keys = inner.filter(lambda part: part.hashable)
    return st.one_of(
        one(lambda part: Typed(list[part.of], st.lists(part.values, max_size=3))),
        one(lambda part: Typed(tuple[part.of, ...], st.lists(part.values, max_size=3).map(tuple), part.hashable)),
        one(lambda part: Typed(RootModel[part.of], st.builds(RootModel[part.of].model_construct, part.values))),
        one(lambda part: Typed(Box[part.of], st.builds(Box[part.of].model_construct, content=part.values))),
        st.tuples(inner, inner).map(
            lambda parts: Typed(
                tuple[parts[0].of, parts[1].of],
                st.tuples(parts[0].values, parts[1].values),
                parts[0].hashable and parts[1].hashable,
            )
        ),
        keys.map(lambda part: Typed(set[part.of], st.sets(part.values, max_size=3))),
        keys.map(lambda part: Typed(frozenset[part.of], st.frozensets(part.values, max_size=3), hashable=True)),
        st.lists(inner, min_size=1, max_size=4).flatmap(typed_dicts),
        st.lists(inner, min_size=1, max_size=4).flatmap(models),
        st.lists(inner, min_size=1, max_size=4).flatmap(lambda parts: drawn_dataclasses(parts, init)),
    )


def dictionaries(inner: SearchStrategy[Typed]) -> SearchStrategy[Typed]:
    return st.tuples(inner.filter(lambda key: key.hashable), inner).map(
        lambda parts: Typed(
            dict[parts[0].of, parts[1].of], st.dictionaries(parts[0].values, parts[1].values, max_size=3)
        )
    )


def unions(inner: SearchStrategy[Typed]) -> SearchStrategy[Typed]:
    return st.tuples(inner, inner, inner | st.just(NOTHING)).map(
        lambda parts: Typed(
            parts[0].of | parts[1].of | parts[2].of if all(isinstance(part.of, type) for part in parts) else Any,
            st.one_of(*(part.values for part in parts)),
            all(part.hashable for part in parts),
        )
    )


@st.composite
def typed_dicts(draw: DrawFn, parts: list[Typed]) -> Typed:
    fields = {f"f{at}": part for at, part in enumerate(parts)}
    optional = draw(st.sets(st.sampled_from(sorted(fields))))
    annotations = {name: NotRequired[part.of] if name in optional else part.of for name, part in fields.items()}
    make: Any = TypedDict
    of = make(new_name(), annotations)
    required = {name: part.values for name, part in fields.items() if name not in optional}
    return Typed(of, st.fixed_dictionaries(required, optional={name: fields[name].values for name in optional}))


@st.composite
def models(draw: DrawFn, parts: list[Typed]) -> Typed:
    aliases = draw(st.lists(st.sampled_from([None, "f0", "alias", "other"]), min_size=4, max_size=4, unique=True))
    kinds = draw(
        st.lists(st.sampled_from(["alias", "validation_alias", "serialization_alias"]), min_size=4, max_size=4)
    )
    fields: dict[str, Any] = {}
    for at, part in enumerate(parts):
        options: dict[str, Any] = {} if aliases[at] in {None, f"f{at}"} else {kinds[at]: aliases[at]}
        fields[f"f{at}"] = (part.of, Field(**options))
    config = ConfigDict(
        frozen=draw(st.booleans()),
        strict=draw(st.booleans()),
        extra=draw(st.sampled_from(["forbid", "ignore"])),
        arbitrary_types_allowed=True,
    )
    of = create_model(new_name(), __config__=config, **fields)
    return Typed(of, st.builds(of.model_construct, **{f"f{at}": part.values for at, part in enumerate(parts)}))


@st.composite
def drawn_dataclasses(draw: DrawFn, parts: list[Typed], inits: SearchStrategy[bool]) -> Typed:
    fields: list[Any] = []
    for at, part in enumerate(parts):
        init = draw(inits)
        default: dict[str, Any] = {} if init else {"default_factory": lambda: uuid.uuid4().hex}
        field: Any = dataclasses.field(init=init, compare=draw(st.booleans()), kw_only=draw(st.booleans()), **default)
        fields.append((f"f{at}", part.of, field))
    options: dict[str, Any] = {name: draw(st.booleans()) for name in ("frozen", "slots", "eq")}
    of: Any = dataclasses.make_dataclass(new_name(), fields, **options)
    if draw(st.booleans()) and not (options["slots"] or options["frozen"]):
        of = pydantic.dataclasses.dataclass(of)

    def build(values: dict[str, Any]) -> Any:
        made = object.__new__(of)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made

    return Typed(of, st.fixed_dictionaries({f"f{at}": part.values for at, part in enumerate(parts)}).map(build))


class Counted(BaseModel):
    """A model with a default factory and a private attribute."""

    made: str = Field(default_factory=lambda: uuid.uuid4().hex)
    content: Any = None
    _note: Any = PrivateAttr(default=None)


@st.composite
def counted(draw: DrawFn) -> Counted:
    value = Counted(content=draw(anything))
    value._note = draw(anything)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — compared by the test
    return value


def drawn_types(init: SearchStrategy[bool]) -> SearchStrategy[Typed]:
    return st.recursive(
        st.sampled_from((*ORDINARY, *HARDER, *UNTYPED, Typed(Counted, counted()))),
        lambda inner: containers(inner, init=init) | unions(inner) | dictionaries(inner),
        max_leaves=5,
    )


ordinary = st.recursive(st.sampled_from(ORDINARY), lambda inner: containers(inner, init=st.booleans()), max_leaves=5)
drawn = drawn_types(st.booleans())
# A dict in place of a dataclass may set fields that have init=False, and they are read nevertheless.
drawn_with_init = drawn_types(st.just(value=True))
