"""Stored names of format v1, as observed in data it wrote."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from key_value.aio.core.sanitization import (
    AlwaysHashStrategy,
    EscapingStrategy,
    HashExcessLengthStrategy,
    HashFragmentMode,
    HybridSanitizationStrategy,
    PassthroughStrategy,
)

ESCAPING = EscapingStrategy(r"[/\0:A-Z]|^\.{1,2}$", max_bytes=100)
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
def test_a_hybrid_name_matches_the_first_format(name: str, stored: str) -> None:
    assert LETTERS.sanitize(name) == stored


@pytest.mark.parametrize(("name", "stored"), [("abc", "S_abc-ba7816bf"), ("a" * 21, "S_aaaaaaaaa-7df8e299")])
def test_a_hybrid_name_can_always_include_its_hash(name: str, stored: str) -> None:
    strategy = HybridSanitizationStrategy(20, "abc", hash_fragment_mode=HashFragmentMode.ALWAYS)
    assert strategy.sanitize(name) == stored


@pytest.mark.parametrize(
    ("name", "stored"), [("a" * 20, "a" * 20), ("a" * 21, "H_7df8e299c834de198e"), ("é" * 20, "é" * 20)]
)
def test_a_name_over_the_length_limit_is_hashed(name: str, stored: str) -> None:
    assert HashExcessLengthStrategy(max_length=20).sanitize(name) == stored


def test_every_name_can_be_hashed() -> None:
    assert AlwaysHashStrategy(hash_length=10).sanitize("abc") == "ba7816bf8f"


@given(st.lists(st.text("abcS_H-/", min_size=1, max_size=30), unique=True))
def test_no_two_names_share_a_stored_name(names: list[str]) -> None:
    for strategy in (LETTERS, HashExcessLengthStrategy(20), AlwaysHashStrategy(), PassthroughStrategy()):
        assert len({strategy.sanitize(name) for name in names}) == len(names)


@given(st.text("abcS_H/", min_size=1, max_size=30))
def test_a_stored_name_is_restored_exactly_or_not_at_all(name: str) -> None:
    for strategy in (LETTERS, HashExcessLengthStrategy(20), AlwaysHashStrategy(), PassthroughStrategy()):
        assert strategy.try_unsanitize(strategy.sanitize(name)) in (None, name)


@pytest.mark.parametrize("options", [{"hash_fragment_length": 0}, {"max_length": 10}, {"hash_fragment_length": 65}])
def test_limits_that_leave_no_room_for_the_name_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        HybridSanitizationStrategy(**options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("abc", "abc"),
        ("a/b", "a%2Fb"),
        ("Abc", "%41bc"),
        ("..", "%2E%2E"),
        ("..a", "..a"),
        ("100%", "100%"),
        ("50% off", "50% off"),
        ("%3a", "%3a"),
        ("%41", "%2541"),
        ("%~", "%25~"),
        ("%4:", "%4%3A"),
        ("%:", "%%3A"),
        ("höme", "höme"),
    ],
)
def test_an_escaped_name_stays_readable(name: str, stored: str) -> None:
    assert ESCAPING.sanitize(name) == stored
    assert ESCAPING.try_unsanitize(stored) == name


def test_escapes_are_utf_8_bytes() -> None:
    strategy = EscapingStrategy("[^a-z]", max_bytes=100)
    assert strategy.sanitize("h\u00f6me \N{EARTH GLOBE EUROPE-AFRICA}") == "h%C3%B6me%20%F0%9F%8C%8D"


def test_an_escaped_name_that_is_too_long_ends_in_its_hash() -> None:
    stored = ESCAPING.sanitize("\u00e9" * 51)
    assert stored == "\u00e9" * 17 + "%~" + sha256(("\u00e9" * 51).encode()).hexdigest()
    assert len(stored.encode()) == 100
    assert ESCAPING.try_unsanitize(stored) is None
    assert ESCAPING.sanitize("\u00e9" * 50) == "\u00e9" * 50


@pytest.mark.parametrize("stored", ["a/b", "%61", "%FF", "A", "n" * 101])
def test_a_text_that_escaping_never_produces_cannot_be_unescaped(stored: str) -> None:
    assert ESCAPING.try_unsanitize(stored) is None


@given(st.text(st.sampled_from("%~4/A:ab\u00e9"), max_size=12))
def test_every_escaped_name_can_be_unescaped(name: str) -> None:
    stored = ESCAPING.sanitize(name)
    assert ESCAPING.try_unsanitize(stored) == name
    assert not set(stored.replace("%2F", "").replace("%41", "").replace("%3A", "")) & set("/:A")


def test_an_escaping_strategy_leaves_room_for_a_hash() -> None:
    with pytest.raises(ValueError, match="max_bytes must be at least 67"):
        EscapingStrategy("/", max_bytes=66)
