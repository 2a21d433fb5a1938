"""Comparison of a value that was put with the value that is read back.

Models and dataclasses are compared field by field, whatever their own `==` does, and other objects with `==`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from key_value.aio.adapters.parts import Place, Step, are_comparable, kind_of, parts_of
from pydantic import BaseModel

__all__ = ["Difference", "Differences", "are_quickly_equal"]


_ORDERED_TYPES = frozenset({dict, list, tuple})
_CONTAINER_TYPES = _ORDERED_TYPES | {set, frozenset}
_SCALAR_TYPES = frozenset({str, int, float, bool, type(None), bytes, date, datetime, time, timedelta, Decimal, UUID})


def are_quickly_equal(put: object, got: object) -> bool:
    """Return True if a fast check proves that the values are equal, which is the usual case."""
    try:
        return _are_quickly_equal(put, got)
    except Exception:  # noqa: BLE001 — `==` is the user's
        return False


def _are_quickly_equal(put: Any, got: Any) -> bool:
    kind = put.__class__
    if kind in _SCALAR_TYPES:
        return put == got
    if kind is not got.__class__:
        return False
    # Without records inside, `==` gives the same result, and in C takes a tenth of the time.
    if kind in _CONTAINER_TYPES and _SCALAR_TYPES.issuperset(map(type, put.values() if kind is dict else put)):
        return put == got
    if kind in _ORDERED_TYPES:
        pairs = (put.values(), map(got.__getitem__, put)) if kind is dict else (put, got)
        return len(put) == len(got) and all(map(_are_quickly_equal, *pairs))
    fields_of = _fields_of(kind)
    if fields_of is not None:
        return _are_quickly_equal(fields_of(put), fields_of(got))
    return kind_of(put) is None and (put == got) is True


@lru_cache
def _fields_of(cls: Any) -> Callable[[Any], Any] | None:
    """Return a getter of all compared parts of a model or dataclass; None for any other class."""
    names: list[str] = []
    if issubclass(cls, BaseModel):
        names = ["__dict__", "__pydantic_extra__"]
        names += ["__pydantic_private__"] if cls.__private_attributes__ else []
    elif is_dataclass(cls):
        names = [field.name for field in fields(cls)]
    return attrgetter(*names) if names else None


class Difference(NamedTuple):
    """A part that reads back differently, with its path."""

    put: object
    got: object
    steps: tuple[Step, ...] = ()


class Differences:
    """Finds the parts that differ. NaN equals NaN, and a datetime equals the same instant in another time zone."""

    def __init__(self, excluded: Mapping[type, frozenset[str]]) -> None:
        """`excluded` has, by class, the fields that are not written."""
        self._excluded = excluded
        self.by_identity = False
        """Whether there were objects of a class without `__eq__`. They are assumed to be equal."""

    def between(self, put: Any, got: Any) -> Iterator[Difference]:
        if kind_of(put) is None:
            same = self._are_equal(put, got)
        elif same := are_comparable(put, got):
            put_parts, got_parts = self._parts(put), self._parts(got)
            if same := put_parts.keys() == got_parts.keys():
                for step, part in put_parts.items():
                    for difference in self.between(part, got_parts[step]):
                        yield difference._replace(steps=(step, *difference.steps))
        if not same:
            yield Difference(put, got)

    def _parts(self, part: object) -> dict[Step, Any]:
        excluded = self._excluded.get(type(part)) or frozenset()
        parts = parts_of(part)
        return {step: inner for step, inner in parts if step.place is not Place.FIELD or step.name not in excluded}

    def _are_equal(self, put: Any, got: Any) -> bool:
        try:
            equal: object = put is got or put == got
            if equal is True:
                return True
            # By PEP 495, a time in a repeated hour of its zone is not equal to the same instant in another zone.
            if isinstance(put, datetime) and isinstance(got, datetime):
                return put - got == timedelta(0)
            has_equality = isinstance(equal, bool) and type(put).__eq__ is not object.__eq__
            if has_equality or type(put) is not type(got):
                return type(put) is type(got) and bool(put != put and got != got)  # noqa: PLR0124 — both NaN
        except Exception:  # noqa: BLE001 — `==` is the user's
            return False
        self.by_identity: bool = True
        return True
