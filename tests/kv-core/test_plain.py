"""The exact traversal of a value: the path of an invalid part, and plain copies."""

from typing import Any

import pytest
from key_value.aio.core.plain import MAX_DEPTH, plain_object
from key_value.aio.errors import SerializationError


class Shown:
    def __repr__(self) -> str:
        return "hunter2"


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"when": Shown()}, "value.when"),
        ({"items": [0, 1, 2, {"when": Shown()}]}, "value.items[3].when"),
        ({"a": {"b": (0, [Shown()])}}, "value.a.b[1][0]"),
        ({"two words": {"1": Shown()}}, "value['two words']['1']"),
        ({"": [Shown()]}, "value[''][0]"),
        ({"é": {"ключ": Shown()}}, "value.é.ключ"),
        ({"a\nb": Shown()}, "value['a\\nb']"),
        ({"\ud800": 1}, "value"),
        ({"a": {1: 2}}, "value.a"),
        ({"good": 1, "first": Shown(), "second": Shown()}, "value.first"),
    ],
)
def test_the_path_leads_to_the_first_invalid_part(value: dict[str, Any], path: str) -> None:
    with pytest.raises(SerializationError) as refusal:
        plain_object(value)
    assert str(refusal.value).startswith(f"cannot serialize {path}: it ")
    assert "hunter2" not in str(refusal.value)


def test_a_long_key_is_cut_in_the_path() -> None:
    with pytest.raises(SerializationError) as refusal:
        plain_object({"key " * 1000: Shown()})
    assert len(str(refusal.value)) < 300


def test_an_object_that_contains_itself_is_refused() -> None:
    cycle: dict[str, Any] = {"a": [{}]}
    cycle["a"][0]["b"] = cycle
    with pytest.raises(SerializationError, match=r"value\.a\[0\]\.b: it contains itself"):
        plain_object(cycle)


def test_an_object_may_occur_in_two_places() -> None:
    shared = {"items": [1]}
    plain = plain_object({"a": shared, "b": [shared, shared]})
    assert plain == {"a": {"items": [1]}, "b": [{"items": [1]}, {"items": [1]}]}
    assert plain["a"] is not plain["b"][0] is not plain["b"][1]


def test_the_copy_shares_no_containers() -> None:
    value = {"a": [{"b": 1}]}
    plain = plain_object(value)
    value["a"][0]["b"] = 2
    assert plain == {"a": [{"b": 1}]}


def test_nesting_has_a_limit() -> None:
    assert plain_object(nested(MAX_DEPTH)) == nested(MAX_DEPTH)
    with pytest.raises(SerializationError, match=f"nested more than {MAX_DEPTH} levels deep"):
        plain_object(nested(MAX_DEPTH + 1))


def test_an_integer_that_cannot_be_printed_is_refused() -> None:
    assert plain_object({"a": 10**4000}) == {"a": 10**4000}
    with pytest.raises(SerializationError, match=r"value\.a: it is an integer with more digits"):
        plain_object({"a": 10**5000})
