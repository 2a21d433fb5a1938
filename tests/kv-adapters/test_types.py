"""Types of every kind: the stored form of a value, and its round trip."""

import collections
import datetime as dt
import ipaddress
import pathlib
import uuid
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from key_value.aio.adapters import PydanticAdapter
from key_value.aio.stores.memory import MemoryStore
from pydantic import (
    AfterValidator,
    AnyUrl,
    Field,
    InstanceOf,
    Json,
)

from .models import (
    ADA,
    ADA_JSON,
    ID,
    NOON,
    Aliased,
    Box,
    Cat,
    Color,
    Computed,
    Deferred,
    Defined,
    Dog,
    Extra,
    Later,
    Level,
    Line,
    Movie,
    Numbers,
    OneText,
    Owner,
    Pair,
    Point,
    Scores,
    Strict,
    Tree,
    User,
    UserId,
    Users,
)

# Type, value, stored form: that of the predecessor's 0.5.0 unless a comment says otherwise.
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
    # The predecessor stored these too but could not read them.
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
    # The predecessor could not store these, or stored additional fields.
    (Computed, Computed(side=2), {"side": 2}),
    (Json[list[int]], [1], {"items": "[1]"}),
    (OneText, OneText(number=1), {"items": "n1"}),
]


@pytest.mark.parametrize(("of", "value", "stored"), STORED, ids=[str(of) for of, _, _ in STORED])
async def test_a_value_is_stored_in_the_form_of_its_type_and_comes_back(
    of: Any, value: Any, stored: dict[str, Any]
) -> None:
    store = MemoryStore()
    adapter: PydanticAdapter[Any] = PydanticAdapter(store, of, raise_on_validation_error=True)
    await adapter.put("key", value)
    assert await store.get("key") == stored
    found = await adapter.get("key")
    assert found == value
    assert type(found) is type(value)
