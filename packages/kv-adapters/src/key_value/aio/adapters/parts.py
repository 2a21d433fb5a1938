"""The parts of a value and their paths."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, RootModel

__all__ = ["Place", "Step", "all_parts_of", "are_comparable", "is_record", "kind_of", "part_at", "parts_of"]


class Place(Enum):
    """The kind of place where one part contains another."""

    FIELD = "field"
    PRIVATE = "private attribute"
    ROOT = "root of a model"
    KEY = "key"
    INDEX = "index"
    ELEMENT = "element of a set"


class Step(NamedTuple):
    """One step of a path: from a part to a part directly inside it."""

    place: Place
    name: Any = None


def is_record(part: object) -> bool:
    """Return whether the part is an instance of a model or dataclass."""
    return isinstance(part, BaseModel) or (is_dataclass(part) and not isinstance(part, type))


def kind_of(part: object) -> Any:
    """Return the class of a record or the base type of a container; None for an object without parts."""
    if is_record(part):
        return type(part)
    return next((kind for kind in (dict, list, tuple, deque, AbstractSet) if isinstance(part, kind)), None)


def are_comparable(put: object, got: object) -> bool:
    """Return whether the parts of both can be compared. A generic model matches each of its parametrized forms."""
    if isinstance(got, BaseModel) and type(put) is got.__pydantic_generic_metadata__["origin"]:
        return True
    return kind_of(put) is kind_of(got)


def parts_of(part: Any) -> Iterator[tuple[Step, Any]]:
    """Yield the fields, items or elements of a part."""
    if isinstance(part, RootModel):
        yield Step(Place.ROOT), cast("Any", part).root
        yield from _steps_by_name(Place.PRIVATE, part.__pydantic_private__)
    elif isinstance(part, BaseModel):
        members = part.__dict__
        yield from ((Step(Place.FIELD, name), members[name]) for name in type(part).model_fields if name in members)
        yield from _steps_by_name(Place.KEY, part.__pydantic_extra__)
        yield from _steps_by_name(Place.PRIVATE, part.__pydantic_private__)
    elif is_record(part):
        names = (field.name for field in fields(part))
        yield from ((Step(Place.FIELD, name), getattr(part, name)) for name in names if hasattr(part, name))
    elif isinstance(part, dict):
        yield from _steps_by_name(Place.KEY, cast("dict[Any, Any]", part))
    elif isinstance(part, (list, tuple, deque)):
        items = cast("Iterable[Any]", part)
        yield from ((Step(Place.INDEX, index), item) for index, item in enumerate(items))
    elif isinstance(part, AbstractSet):
        elements = cast("Iterable[Any]", part)
        yield from ((Step(Place.ELEMENT, element), element) for element in elements)


def all_parts_of(part: object) -> Iterator[Any]:
    """Yield the parts of a part, recursively."""
    for _, inner in parts_of(part):
        yield inner
        yield from all_parts_of(inner)


def part_at(part: Any, steps: Sequence[Step]) -> Any:
    """Return the part at a path. Raises LookupError or AttributeError if there is none."""
    for place, name in steps:
        if place in {Place.FIELD, Place.ROOT}:
            part = getattr(part, name or "root")
        elif isinstance(part, BaseModel):
            part = (part.__pydantic_extra__ or {})[name]
        else:
            part = part[name]
    return part


def _steps_by_name(place: Place, members: dict[Any, Any] | None) -> Iterator[tuple[Step, Any]]:
    return ((Step(place, name), inner) for name, inner in (members or {}).items())
