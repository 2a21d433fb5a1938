"""Object names: distinct, reversible, and equal to the predecessor's names wherever those are unambiguous."""

from __future__ import annotations

import random
from typing import Any

import pytest
from key_value.aio.stores.s3 import S3CollectionSanitizationStrategy, S3KeySanitizationStrategy
from key_value.aio.stores.s3.names import EXACT, FLAT, PROBES, Names
from key_value.aio.testing.names import NASTY_NAMES

LONG = ["n" * 200, "n" * 201, "n" * 255, "n" * 1023, "n" * 1024, "é" * 600, "🌍" * 300, "/" * 500, "%~" * 400]
MARKED = [
    "\x01",
    "a\x1f",
    "\uffff",
    "\r",
    "%~",
    "%~~",
    "%~0",
    "%~#",
    f"%~{'0' * 64}",
    f"%~#{'0' * 64}",
    "a%~",
    "%%~",
    "%~/",
    "~",
    "%2E",
    "%2F",
    ".",
]
ALL = [*dict.fromkeys([*NASTY_NAMES, *LONG, *MARKED])]

each_scheme = pytest.mark.parametrize("names", [EXACT, FLAT], ids=["exact", "flat"])


@each_scheme
def test_no_two_entries_share_a_name(names: Names) -> None:
    pairs = [(collection, key) for collection in ALL for key in ALL]
    assert len({names.name(*pair) for pair in pairs}) == len(pairs)


@each_scheme
def test_a_name_is_split_into_its_entry_unless_it_is_hashed(names: Names) -> None:
    for collection in ALL:
        for key in ALL:
            split = names.split(names.name(collection, key))
            assert split is not None
            assert split[0] in (collection, None)
            assert split[1] in (key, None)
            if len(collection.encode()) <= 60 and len(key.encode()) <= 60:
                assert split == (collection, key)


@each_scheme
def test_a_name_has_at_most_1024_bytes(names: Names) -> None:
    assert max(len(names.name(collection, key).encode()) for collection in ALL for key in ALL) <= 1024


@each_scheme
def test_exactly_the_names_of_a_collection_start_with_its_prefix(names: Names) -> None:
    for collection in ALL:
        for other in ALL:
            assert names.name(other, "key").startswith(names.prefix(collection)) is (other == collection)


@each_scheme
def test_all_keys_with_a_prefix_are_stored_with_its_stored_prefix(names: Names) -> None:
    choice = random.Random(7)  # noqa: S311 — reproducible
    for _ in range(5000):
        key = "".join(choice.choice(["a", "%", "~", "2", "F", ".", "/", "\0", "é", "#", "x" * 300]) for _ in range(6))
        prefix = key[: choice.randint(0, len(key))]
        pushed = names.key_prefix(prefix)
        assert names.key("collection", key).startswith(pushed)
        older = names.older_name("collection", key)
        assert older is None or older.startswith(f"collection/{pushed}")


@each_scheme
def test_no_entry_has_the_name_of_a_probe(names: Names) -> None:
    for name in (PROBES, PROBES[1:]):
        assert names.split(f"{name}{'0' * 32}") is None
        assert names.split(f"{name}{'0' * 32}/a/b") is None


@pytest.mark.parametrize(
    ("collection", "key"),
    [
        ("users", "alice"),
        ("users", "höme/é 🌍"),
        ("mcp:oauth", "https://example.com/client?id=1#x"),
        ("a::b", "c"),
        ("big", "blob"),
        ("u", "."),
        ("u", "../x"),
        (".", ".."),
        ("u", "k%2Fx"),
        ("u", "100%"),
        ("n" * 400, "n" * 600),
    ],
)
def test_a_server_with_exact_names_uses_those_of_the_predecessor(collection: str, key: str) -> None:
    assert EXACT.name(collection, key) == f"{collection}/{key}"


def test_a_server_that_folds_names_stores_each_name_as_one_path_segment() -> None:
    for collection in ALL:
        for key in ALL:
            parts = FLAT.name(collection, key).split("/")
            assert len(parts) == 2
            assert all(part not in ("", ".", "..") and "\0" not in part and len(part.encode()) <= 200 for part in parts)


@pytest.mark.parametrize(
    ("collection", "key"), [("users", "alice"), ("mcp:oauth", "a b"), ("a::b", "100%"), ("u", "é")]
)
def test_a_server_that_folds_names_shares_simple_names_with_the_predecessor(collection: str, key: str) -> None:
    assert FLAT.name(collection, key) == f"{collection}/{key}"


@pytest.mark.parametrize(
    ("key", "older"),
    [
        ("höme/é 🌍", "users/höme/é 🌍"),
        ("a/b/c", "users/a/b/c"),
        ("alice", None),
        ("https://example.com", None),
        ("../x", None),
        ("/a", None),
        ("a/", None),
        ("a/" + "n" * 256, None),
    ],
)
def test_an_older_name_is_used_only_if_it_was_unambiguous(key: str, older: str | None) -> None:
    assert FLAT.older_name("users", key) == older


# Measured on py-key-value-aio 0.5.0
@pytest.mark.parametrize("strategy", [S3KeySanitizationStrategy, S3CollectionSanitizationStrategy])
@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a/b", "a/b"),
        ("H_x", "H_x"),
        ("x" * 500, "x" * 500),
        ("x" * 501, "x" * 492 + "3ac31d30"),
        ("é" * 251, "é" * 246 + "c616d5ad"),
    ],
    ids=["a slash", "H_", "500", "501", "502 in UTF-8"],
)
def test_the_strategies_shorten_names_like_earlier_versions(strategy: Any, name: str, stored: str) -> None:
    assert strategy().sanitize(name) == stored
    assert strategy().try_unsanitize(stored) == (name if name == stored else None)


def test_a_strategy_for_fewer_than_16_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16"):
        S3KeySanitizationStrategy(15)
