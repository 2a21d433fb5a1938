"""Names of keys and collections, and joined names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.core.names import (
    MAX_NAME_BYTES,
    checked_name,
    checked_names,
    collection_prefix,
    join_names,
    split_names,
)
from key_value.aio.core.shortening import shorten, shorten_each
from key_value.aio.errors import InvalidKeyError


class Subclass(str):
    __slots__ = ()


NAMES = st.text(st.sampled_from(":%3A5a"), min_size=1, max_size=8) | st.text(min_size=1).filter(
    lambda name: name.isprintable()
)


@given(NAMES, NAMES)
def test_joined_names_can_be_split(collection: str, key: str) -> None:
    assert split_names(join_names(collection, key)) == (collection, key)


@given(NAMES, NAMES, NAMES)
def test_only_names_in_a_collection_start_with_its_prefix(collection: str, other: str, key: str) -> None:
    prefix = collection_prefix(collection)
    assert join_names(other, key).startswith(prefix) is (other == collection)


@pytest.mark.parametrize(
    ("collection", "key"),
    [("users", "alice"), ("mcp:oauth", "https://x/?a=1#b"), (":a", "b"), ("a", "b::c"), ("a", ":b")],
)
def test_a_name_unambiguous_in_the_first_format_is_kept(collection: str, key: str) -> None:
    assert join_names(collection, key) == f"{collection}::{key}"


@pytest.mark.parametrize(("collection", "key"), [("a::b", "c"), ("a:", "b"), ("::", "a"), (":", ":")])
def test_an_ambiguous_name_is_escaped(collection: str, key: str) -> None:
    assert join_names(collection, key).startswith("::")


@given(
    st.sampled_from(["__", "-", "=>", "\u00e9", "::"]),
    st.text(st.sampled_from("_-=>%5F\u00e9:a"), min_size=1, max_size=8),
    st.text(st.sampled_from("_-=>%5F\u00e9:a"), min_size=1, max_size=8),
)
def test_another_separator_keeps_names_distinct_too(separator: str, collection: str, key: str) -> None:
    name = collection_prefix(collection, separator) + key
    assert split_names(name, separator) == (collection, key)
    if separator not in collection + separator[:-1]:
        assert name == f"{collection}{separator}{key}"


@pytest.mark.parametrize("name", ["", "a", "::", "a::", "::a", "::a::b", "::%3a::b", "::%41::b"])
def test_a_name_that_joining_never_produces_is_not_split(name: str) -> None:
    assert split_names(name) is None


@pytest.mark.parametrize("name", ["a", "\x00", "\n", "ö", "🌍", "*", "../../etc", "a" * MAX_NAME_BYTES, "ö" * 32768])
def test_any_text_up_to_64_kib_is_a_name(name: str) -> None:
    assert checked_name(name, "key") == name


@pytest.mark.parametrize("name", ["", "\ud800", "a\udfff", "a" * (MAX_NAME_BYTES + 1), "ö" * 32769])
def test_an_empty_too_long_or_unencodable_name_is_invalid(name: str) -> None:
    with pytest.raises(InvalidKeyError, match="a key must"):
        checked_name(name, "key")


@pytest.mark.parametrize("keys", ["abc", b"abc", 5, None, {"a"}, {"a": 1}, iter(["a"])], ids=repr)
def test_keys_are_a_sequence_of_names(keys: object) -> None:
    with pytest.raises(TypeError, match="keys must be a sequence of str"):
        checked_names(keys)  # pyright: ignore[reportArgumentType]


def test_each_key_of_a_batch_is_checked() -> None:
    with pytest.raises(TypeError, match="key must be a str, not int"):
        checked_names(["a"] * 1000 + [5])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("bad", ["", "\ud800", "k" * (MAX_NAME_BYTES + 1), "é" * MAX_NAME_BYTES])
def test_one_invalid_key_in_a_batch_is_refused(bad: str) -> None:
    with pytest.raises(InvalidKeyError):
        checked_names(["a", bad, "b"])


@pytest.mark.parametrize("keys", [[], ["a"], ["a", "é 🌍"], ["k" * MAX_NAME_BYTES] * 2], ids=len)
def test_the_keys_of_a_batch_are_returned_in_a_new_list(keys: list[str]) -> None:
    checked = checked_names(keys)
    assert checked == keys
    assert checked is not keys


def test_a_key_of_a_str_subclass_in_a_batch_becomes_a_str() -> None:
    assert [type(key) for key in checked_names(["a", Subclass("b")])] == [str, str]


@given(st.lists(st.text(st.sampled_from("ab%~é0"), max_size=90)))
def test_names_are_shortened_together_as_they_are_alone(names: list[str]) -> None:
    assert [*shorten_each(names, 100)] == [shorten(name, 100) for name in names]
