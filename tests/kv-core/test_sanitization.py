"""Stored names of format v1, as measured on what it wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.core.sanitization import (
    AlwaysHashStrategy,
    HashExcessLengthStrategy,
    HashFragmentMode,
    HybridSanitizationStrategy,
    PassthroughStrategy,
)

LETTERS = HybridSanitizationStrategy(max_length=20, allowed_characters="abc")


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("abc", "abc"),
        ("a/b", "S_a_b-c14cddc0"),
        ("//a//", "S__a_-dfc80f21"),
        ("////", "S_-0ea28b45"),
        ("x y/z", "S_-c2c94559"),
        ("a" * 19 + "/", "S_aaaaaaaaa-c02a0969"),
        ("a" * 20, "a" * 20),
    ],
)
def test_a_hybrid_name_is_that_of_the_first_format(name: str, stored: str) -> None:
    assert LETTERS.sanitize(name) == stored


@pytest.mark.parametrize(("name", "stored"), [("abc", "S_abc-ba7816bf"), ("a" * 21, "S_aaaaaaaaa-7df8e299")])
def test_a_hybrid_name_can_always_carry_its_hash(name: str, stored: str) -> None:
    strategy = HybridSanitizationStrategy(20, "abc", hash_fragment_mode=HashFragmentMode.ALWAYS)
    assert strategy.sanitize(name) == stored


@pytest.mark.parametrize(
    ("name", "stored"), [("a" * 20, "a" * 20), ("a" * 21, "H_7df8e299c834de198e"), ("é" * 20, "é" * 20)]
)
def test_a_name_of_excess_length_is_hashed(name: str, stored: str) -> None:
    assert HashExcessLengthStrategy(max_length=20).sanitize(name) == stored


def test_every_name_can_be_hashed() -> None:
    assert AlwaysHashStrategy(hash_length=10).sanitize("abc") == "ba7816bf8f"


@given(st.lists(st.text("abcS_H-/", min_size=1, max_size=30), unique=True))
def test_no_two_names_share_a_stored_name(names: list[str]) -> None:
    for strategy in (LETTERS, HashExcessLengthStrategy(20), AlwaysHashStrategy(), PassthroughStrategy()):
        assert len({strategy.sanitize(name) for name in names}) == len(names)


@given(st.text("abcS_H/", min_size=1, max_size=30))
def test_a_stored_name_tells_its_name_or_nothing(name: str) -> None:
    for strategy in (LETTERS, HashExcessLengthStrategy(20), AlwaysHashStrategy(), PassthroughStrategy()):
        assert strategy.try_unsanitize(strategy.sanitize(name)) in (None, name)


@pytest.mark.parametrize("options", [{"hash_fragment_length": 0}, {"max_length": 10}, {"hash_fragment_length": 65}])
def test_limits_that_leave_no_room_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HybridSanitizationStrategy(**options)  # pyright: ignore[reportArgumentType]
