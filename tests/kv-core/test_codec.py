"""The codec: values to JSON and back, with orjson and with the standard library."""

import copy
import json
import math
import pickle
import uuid
from collections import OrderedDict, UserDict, defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from enum import Enum, IntEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.core import codec
from key_value.aio.core.codec import EncodedDict, decode_value, encode_value, is_plain, load_object
from key_value.aio.core.plain import MAX_DEPTH
from key_value.aio.errors import DeserializationError, SerializationError


class Color(Enum):
    RED = "red"


class Level(IntEnum):
    LOW = 1


class Text(str):
    __slots__ = ()


class Point(NamedTuple):
    x: int
    y: int


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
OBJECTS = st.dictionaries(
    st.text(), st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20)
)

SUBCLASSES: list[Mapping[str, int]] = [OrderedDict(a=1), defaultdict(int, a=1), {Text("a"): 1}, UserDict(a=1)]

REFUSED: dict[str, Any] = {
    "bytes": b"x",
    "set": {1},
    "datetime": datetime(2026, 1, 1, tzinfo=timezone.utc),
    "UUID": uuid.UUID(int=1),
    "Enum": Color.RED,
    "IntEnum": Level.LOW,
    "NaN": math.nan,
    "infinity": math.inf,
    "negative infinity": -math.inf,
    "complex": 1j,
    "object": object(),
    "int key": {1: "x"},
    "None key": {None: "x"},
    "Enum key": {Color.RED: "x"},
    "surrogate": "\ud800",
    "surrogate key": {"\udfff": "x"},
}


@pytest.fixture(params=["orjson", "standard library"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(codec, "orjson", None)


either_library = pytest.mark.usefixtures("_library")


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


@given(OBJECTS)
def test_a_value_comes_back_equal(value: dict[str, Any]) -> None:
    assert decode_value(encode_value(value)) == value


@given(OBJECTS)
def test_a_value_comes_back_with_the_same_types(value: dict[str, Any]) -> None:
    assert repr(decode_value(encode_value(value))) == repr(value)


@either_library
@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**300])
def test_an_integer_of_any_size_stays_an_integer(number: int) -> None:
    assert decode_value(encode_value({"n": number})) == {"n": number}
    assert type(load_object(json.dumps({"n": number}))["n"]) is int


@either_library
@pytest.mark.parametrize("number", [-0.0, 5e-324, 1e22, 1.7976931348623157e308, 0.1])
def test_a_float_comes_back_to_the_last_bit(number: float) -> None:
    assert repr(decode_value(encode_value({"n": number}))["n"]) == repr(number)


@either_library
@pytest.mark.parametrize("culprit", REFUSED.values(), ids=REFUSED.keys())
def test_a_part_that_json_cannot_hold_is_refused_with_its_path(culprit: Any) -> None:
    with pytest.raises(SerializationError, match=r"value\.items\[1\]\.when"):
        encode_value({"items": [None, {"when": culprit}]})


@either_library
@pytest.mark.parametrize("other", [None, 127, 255, -1, 1.5, "ÿ\x7f"])
def test_nan_is_found_beside_none_and_beside_bytes_that_resemble_it(other: Any) -> None:
    assert decode_value(encode_value({"a": None, "b": other})) == {"a": None, "b": other}
    with pytest.raises(SerializationError, match=r"value\.n"):
        encode_value({"a": None, "b": other, "n": math.nan})


@given(OBJECTS, st.sampled_from(list(REFUSED.values())))
def test_an_invalid_part_is_found_in_any_value(value: dict[str, Any], culprit: Any) -> None:
    with pytest.raises(SerializationError):
        encode_value({**value, "culprit": [culprit]})


@either_library
def test_a_message_shows_no_value() -> None:
    with pytest.raises(SerializationError) as caught:
        encode_value({"password": b"hunter2"})
    assert "hunter2" not in str(caught.value)


@either_library
def test_a_cycle_is_refused() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    with pytest.raises(SerializationError, match=r"value\.self\[0\]: it contains itself"):
        encode_value(value)


@either_library
def test_the_same_object_in_two_places_is_not_a_cycle() -> None:
    shared = [1]
    assert decode_value(encode_value({"a": shared, "b": shared})) == {"a": [1], "b": [1]}


@either_library
def test_the_nesting_limit_is_the_same_everywhere() -> None:
    assert decode_value(encode_value(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(SerializationError, match="levels deep"):
        encode_value(nested(MAX_DEPTH + 1))


@either_library
def test_an_integer_too_long_for_python_to_print_is_refused() -> None:
    with pytest.raises(SerializationError, match=r"value\.n: it is an integer with more digits"):
        encode_value({"n": 10**5000})


@either_library
@pytest.mark.parametrize("value", [{"a": (1, 2)}, {"a": Point(1, 2)}, {"a": [1, 2]}], ids=repr)
def test_a_tuple_becomes_a_list(value: dict[str, Any]) -> None:
    assert decode_value(encode_value(value)) == {"a": [1, 2]}


@either_library
@pytest.mark.parametrize("value", SUBCLASSES, ids=lambda value: type(value).__name__)
def test_subclasses_become_their_base_types(value: Any) -> None:
    decoded = decode_value(encode_value(value))
    assert decoded == {"a": 1}
    assert [type(key) for key in decoded] == [str]


@either_library
@pytest.mark.parametrize("value", [None, [1], "text", 5], ids=repr)
def test_a_value_that_is_not_a_mapping_raises_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError, match="value must be a mapping"):
        encode_value(value)


@either_library
def test_old_data_with_nan_and_infinity_is_read() -> None:
    loaded = load_object(b'{"a": NaN, "b": Infinity, "c": -Infinity}')
    assert math.isnan(loaded["a"])
    assert (loaded["b"], loaded["c"]) == (math.inf, -math.inf)


@either_library
@pytest.mark.parametrize("text", [b"", b"{", b"[1]", b'"text"', b"null", b"\xff", b"[" * 100_000])
def test_text_that_is_not_a_json_object_is_corrupt(text: bytes) -> None:
    with pytest.raises(DeserializationError, match="not"):
        load_object(text)


def test_each_library_reads_the_output_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"text": "höme ✓", "n": [1, 2.5, None, True], "big": 2**70}
    by_orjson = encode_value(value)
    monkeypatch.setattr(codec, "orjson", None)
    assert decode_value(by_orjson) == value
    by_json = encode_value(value)
    monkeypatch.undo()
    assert decode_value(by_json) == value


def test_a_value_with_its_encoded_text_is_not_encoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    value, encoded = EncodedDict.of({"a": [1, {"b": 2}]})
    monkeypatch.setattr(codec, "orjson", None)
    monkeypatch.setattr(codec, "plain_object", None)
    assert encode_value(value) is encoded
    assert EncodedDict.of(value) == (value, encoded)
    assert EncodedDict.of(value)[0] is value


def test_a_value_with_its_encoded_text_behaves_like_a_plain_dict() -> None:
    value, _ = EncodedDict.of({"a": 1, "b": [2]})
    assert value == {"a": 1, "b": [2]}
    assert json.loads(json.dumps(value)) == value
    for same in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dict(value)):  # noqa: S301
        assert type(same) is dict
        assert same == value


def test_a_value_that_is_not_json_has_no_encoded_text() -> None:
    with pytest.raises(SerializationError, match=r"value\.a"):
        EncodedDict.of({"a": {1, 2}})


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "[]=": lambda value: value.__setitem__("c", 3),
    "del": lambda value: value.__delitem__("a"),
    "|=": lambda value: value.__ior__({"c": 3}),
    "clear": lambda value: value.clear(),
    "pop": lambda value: value.pop("a"),
    "popitem": lambda value: value.popitem(),
    "setdefault": lambda value: value.setdefault("c", 3),
    "update": lambda value: value.update(c=3),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_modified_value_is_encoded_again(change: Callable[[dict[str, Any]], object]) -> None:
    value, _ = EncodedDict.of({"a": 1, "b": 2})
    plain = {"a": 1, "b": 2}
    change(value)
    change(plain)
    assert decode_value(encode_value(value)) == plain


@pytest.mark.parametrize("offset", range(20))
@pytest.mark.parametrize("size", [0, 100_000])
def test_long_integers_are_exact_at_any_offset(offset: int, size: int) -> None:
    value = {"a": "x" * (size + offset), "n": 2**64 + 1, "b": "y" * size}
    assert load_object(json.dumps(value)) == value
    assert load_object(json.dumps({**value, "n": 10**18 + 1})) == {**value, "n": 10**18 + 1}


class Number(int):
    pass


def test_the_types_that_json_loads_are_plain() -> None:
    assert is_plain([{"n": [1, 0.5, float("nan"), "é", True, None]}])


@pytest.mark.parametrize(
    "part", [b"a", Number(1), datetime(2020, 1, 1, tzinfo=timezone.utc), object(), {1: 2}], ids=repr
)
def test_other_types_are_not_plain(part: Any) -> None:
    assert not is_plain([{"n": [part]}])


def test_nothing_is_plain_without_orjson(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec, "orjson", None)
    assert not is_plain([])
