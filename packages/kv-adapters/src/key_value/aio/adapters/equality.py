"""Equality of the value that is read and the one that was put.

It compares every field of models and dataclasses, whatever their own `==` compares, and other objects with `==`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple
from uuid import UUID

from key_value.aio.adapters.parts import Place, Step, are_of_a_kind, kind_of, parts_of
from pydantic import BaseModel

__all__ = ["Difference", "Differences", "are_plainly_equal"]


_ORDERED = frozenset({dict, list, tuple})
_BUILTIN = _ORDERED | {set, frozenset}
_PLAIN = frozenset({str, int, float, bool, type(None), bytes, date, datetime, time, timedelta, Decimal, UUID})


def are_plainly_equal(put: object, got: object) -> bool:
    """Whether they are certainly equal: the fast check, which mostly succeeds."""
    try:
        return _are_plainly_equal(put, got)
    except Exception:  # noqa: BLE001 — `==` is the user's
        return False


def _are_plainly_equal(put: Any, got: Any) -> bool:
    kind = put.__class__
    if kind in _PLAIN:
        return put == got
    if kind is not got.__class__:
        return False
    # A comparison in C takes a tenth of the time, and does what this function does where there are no records.
    if kind in _BUILTIN and _PLAIN.issuperset(map(type, put.values() if kind is dict else put)):
        return put == got
    if kind in _ORDERED:
        pairs = (put.values(), map(got.__getitem__, put)) if kind is dict else (put, got)
        return len(put) == len(got) and all(map(_are_plainly_equal, *pairs))
    fields_of = _fields_of(kind)
    if fields_of is not None:
        return _are_plainly_equal(fields_of(put), fields_of(got))
    return kind_of(put) is None and (put == got) is True


@lru_cache
def _fields_of(of: Any) -> Callable[[Any], Any] | None:
    """A function that returns all compared parts of a model or dataclass. None for another class."""
    names: list[str] = []
    if issubclass(of, BaseModel):
        names = ["__dict__", "__pydantic_extra__"]
        names += ["__pydantic_private__"] if of.__private_attributes__ else []
    elif is_dataclass(of):
        names = [field.name for field in fields(of)]
    return attrgetter(*names) if names else None


class Difference(NamedTuple):
    """A part that reads back differently, and its path."""

    put: object
    got: object
    steps: tuple[Step, ...] = ()


class Differences:
    """Finds the parts that differ. Two NaN, and two forms of the same instant, do not differ."""

    def __init__(self, left_out: Mapping[type, frozenset[str]]) -> None:
        """`left_out` has the fields that the type itself leaves out of what is written."""
        self._left_out = left_out
        self.by_identity = False
        """Whether there were objects of a class without an equality of its own. They are taken for equal."""

    def between(self, put: Any, got: Any) -> Iterator[Difference]:
        if kind_of(put) is None:
            same = self._are_equal(put, got)
        elif same := are_of_a_kind(put, got):
            ours, theirs = self._parts(put), self._parts(got)
            if same := ours.keys() == theirs.keys():
                for step, part in ours.items():
                    for difference in self.between(part, theirs[step]):
                        yield difference._replace(steps=(step, *difference.steps))
        if not same:
            yield Difference(put, got)

    def _parts(self, part: object) -> dict[Step, Any]:
        left_out = self._left_out.get(type(part)) or frozenset()
        parts = parts_of(part)
        return {step: inner for step, inner in parts if step.place is not Place.FIELD or step.name not in left_out}

    def _are_equal(self, put: Any, got: Any) -> bool:
        try:
            equal: object = put is got or put == got
            if equal is True:
                return True
            # An hour that comes twice in its zone is, by PEP 495, not equal to the same instant in another.
            if isinstance(put, datetime) and isinstance(got, datetime):
                return put - got == timedelta(0)
            has_equality = isinstance(equal, bool) and type(put).__eq__ is not object.__eq__
            if has_equality or type(put) is not type(got):
                return type(put) is type(got) and bool(put != put and got != got)  # noqa: PLR0124 — as NaN is
        except Exception:  # noqa: BLE001 — `==` is the user's
            return False
        self.by_identity: bool = True
        return True
