"""The codec against a slower statement of what a value is, on examples that hypothesis makes up."""

from __future__ import annotations

import json
import math
from enum import Enum
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from key_value.aio.core import codec
from key_value.aio.core.codec import decode_value, encode_value, load_object
from key_value.aio.errors import DeserializationError, SerializationError
from key_value.aio.testing.stateful import fuzzed, json_objects


@pytest.fixture(autouse=True, params=["orjson", "standard library"])
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "standard library":
        monkeypatch.setattr(codec, "orjson", None)
        monkeypatch.setattr(codec, "decode_fast", json.loads)


# The library is the same for all examples of a test.
fuzz = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


class Color(Enum):
    RED = "red"


class Word(str, Enum):
    RED = "red"


_refused_leaves = st.one_of(
    st.binary(),
    st.sets(st.integers()),
    st.datetimes(),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), Color.RED, Word.RED, object(), len, "a\ud800"]),
)
_text = st.text(max_size=5)
_leaves = st.none() | st.booleans() | st.integers() | st.floats() | _text | _refused_leaves
_parts = st.recursive(
    _leaves,
    lambda parts: (
        st.lists(parts, max_size=3)
        | st.tuples(parts, parts)
        | st.dictionaries(_text | st.integers() | st.none() | st.sampled_from([Word.RED, b"a", "\ud800"]), parts)
    ),
    max_leaves=8,
)
old_values = st.dictionaries(_text, st.lists(st.floats() | st.integers() | _text, max_size=5), max_size=3)
anything = st.dictionaries(_text, _parts, max_size=3)


def is_json(part: object) -> bool:
    """What a value may hold, said a second time and more slowly."""
    if isinstance(part, Enum):
        return False
    if isinstance(part, dict):
        members = cast("dict[object, object]", part)
        return all(isinstance(key, str) and is_json(key) and is_json(value) for key, value in members.items())
    if isinstance(part, (list, tuple)):
        return all(is_json(each) for each in cast("list[object]", part))
    if isinstance(part, float):
        return math.isfinite(part)
    if isinstance(part, str):
        return not any("\ud800" <= character <= "\udfff" for character in part)
    return part is None or isinstance(part, (bool, int))


def exact(part: object) -> str:
    return json.dumps(part, sort_keys=True)


@fuzzed
@fuzz
@given(json_objects)
def test_a_value_comes_back_exactly(value: dict[str, Any]) -> None:
    assert exact(decode_value(encode_value(value))) == exact(value)


@fuzzed
@fuzz
@given(anything)
def test_a_value_is_taken_exactly_when_it_is_json(value: dict[str, Any]) -> None:
    if is_json(value):
        assert exact(decode_value(encode_value(value))) == exact(value)
    else:
        with pytest.raises(SerializationError, match="cannot serialize value"):
            encode_value(value)


@fuzzed
@fuzz
@given(value=old_values, ascii_only=st.booleans())
def test_what_an_earlier_version_wrote_is_read_as_it_was(value: dict[str, Any], *, ascii_only: bool) -> None:
    written = json.dumps(value, ensure_ascii=ascii_only)
    assert exact(load_object(written)) == exact(value)


@fuzzed
@fuzz
@given(st.binary(max_size=40) | st.text(alphabet='{}[]":,.-+0123456789eEaNInfity\\u \n\0é', max_size=40))
def test_any_text_is_an_object_or_corrupt(text: bytes | str) -> None:
    try:
        expected = json.loads(text)
    except (ValueError, RecursionError):
        expected = None
    if type(expected) is dict:
        assert exact(load_object(text)) == exact(cast("object", expected))
    else:
        with pytest.raises(DeserializationError):
            load_object(text)


@pytest.mark.parametrize("text", ["1" * 19, "0." + "1" * 30, "1" * 30 + "e-5", "-0.0", "1e400", "5e-324"])
def test_a_number_is_read_as_the_standard_library_reads_it(text: str) -> None:
    assert exact(load_object(f'{{"number": {text}}}')) == exact({"number": json.loads(text)})


def test_text_that_looks_like_a_long_number_stays_text() -> None:
    value = {"card": "1234567890123456789012345"}
    assert load_object(encode_value(value)) == value


@pytest.mark.parametrize("leaf", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("other", [None, 1.5, "null", [None, None]])
def test_a_float_that_is_not_finite_is_found_among_others(leaf: float, other: object) -> None:
    with pytest.raises(SerializationError, match=r"value\.a\[3\]\.b: it is not a finite number"):
        encode_value({"other": other, "a": [1.5, 1.5, other, {"b": leaf}]})


NOISE: dict[str, list[Any]] = {
    "negative integers": [-1] * 1000,
    "negative floats": [-1.7976931348623157e308] * 1000,
    "large floats": [1.7976931348623157e308 / (1 + number) for number in range(1000)],
    "text": ["\x7f" * 1000, "ÿ" * 1000],
    "text like a float": ["g\x7f\x7f\x7f\x7f\x7f\x7f\xf0\x7f" * 200],
}


@pytest.mark.parametrize("leaf", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("noise", NOISE.values(), ids=NOISE)
def test_a_float_that_is_not_finite_is_found_in_noise(leaf: float, noise: list[Any]) -> None:
    for items in ([leaf, *noise], [*noise, leaf], [*noise, leaf, *noise]):
        with pytest.raises(SerializationError, match="it is not a finite number"):
            encode_value({"items": items})
    assert decode_value(encode_value({"items": noise})) == {"items": noise}


def test_a_finite_float_beside_bytes_that_look_like_nan_is_taken() -> None:
    value = {"null": None, "text": "g123456\xf0\x7f", "largest": 1.7976931348623157e308}
    assert decode_value(encode_value(value)) == value


# Around the depth at which orjson gives up.
@pytest.mark.parametrize("levels", [253, 254, 255, 256, 499])
def test_nesting_is_stored_and_read(levels: int) -> None:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    text = json.dumps(value)
    assert json.dumps(decode_value(encode_value(value))) == text
    assert json.dumps(load_object(text)) == text


@pytest.mark.parametrize("levels", [500, 5_000, 200_000])
def test_nesting_without_end_is_refused(levels: int) -> None:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    with pytest.raises(SerializationError, match="nested more than 500 levels deep"):
        encode_value({"a": value})


def test_an_error_says_what_was_read_and_not_what_it_held() -> None:
    with pytest.raises(DeserializationError) as corruption:
        load_object('{"password": "hunter2"', "the stored entry")
    assert str(corruption.value) == "the stored entry is not JSON"


def test_a_lone_surrogate_in_old_data_is_read() -> None:
    assert load_object('{"a": "\\ud800"}') == {"a": "\ud800"}
    assert load_object('{"a": "\ud800"}') == {"a": "\ud800"}
