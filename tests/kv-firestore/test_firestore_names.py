"""Ids of documents and collections: every name has one, equal to the name where possible."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.stores.firestore import (
    FirestoreStore,
    FirestoreV1CollectionSanitizationStrategy,
    FirestoreV1KeySanitizationStrategy,
)
from key_value.aio.stores.firestore.names import PROBE, Names, is_id

if TYPE_CHECKING:
    from .conftest import Raw

NAMES = Names(escapes_collections=True, escapes_keys=True)

ITSELF = [
    "a",
    "A",
    "a b",
    "x%2Fy",
    "100%",
    "_",
    "__",
    "___",
    "__a",
    "a__",
    ".a",
    "...",
    "H_a",
    "S_a",
    "ö",
    "\0",
    "n" * 1500,
]
STORED = {
    "a/b": "a%~1b",
    "/": "%~1",
    "%~": "%~~",
    "%~1": "%~~1",
    "%~~": "%~~~",
    ".": "%~.",
    "..": "%~..",
    "____": "%~____",
    "__x__": "%~__x__",
    "__\n__": "%~__\n__",
    "__/__": "%~__%~1__",
    "%~.": "%~~.",
    PROBE: "%~~probe",
}
LONG = ["n" * 1501, "é" * 751, "/" * 600, "n" * 60_000, "🌍" * 400, "__" + "n" * 1496 + "__"]

PARTS = ["", "/", "%", "~", "%~", "1", ".", "_", "__", "#", "é"]
ALL = sorted({"".join(parts) for parts in product(PARTS, repeat=4)} - {""})


@pytest.mark.parametrize("name", ITSELF)
def test_a_name_that_is_a_legal_id_is_stored_unchanged(name: str) -> None:
    assert is_id(name)
    assert NAMES.key(name) == NAMES.collection(name) == name


@pytest.mark.parametrize(("name", "stored"), STORED.items())
def test_a_name_that_is_not_a_legal_id_is_escaped(name: str, stored: str) -> None:
    assert NAMES.key(name) == NAMES.collection(name) == stored
    assert NAMES.original_key(stored) == NAMES.original_collection(stored) == name


@pytest.mark.parametrize("name", LONG)
def test_a_name_that_is_too_long_is_shortened_to_an_id(name: str) -> None:
    stored = NAMES.key(name)
    assert is_id(stored)
    assert NAMES.original_key(stored) is None
    assert NAMES.key(stored) != stored


def test_every_name_has_a_unique_id_and_is_restored_from_it() -> None:
    ids = [NAMES.key(name) for name in ALL]
    assert len(set(ids)) == len(ALL)
    assert [stored for stored in ids if not is_id(stored)] == []
    assert [NAMES.original_key(stored) for stored in ids] == ALL


def test_an_id_that_no_entry_has_gives_no_name() -> None:
    assert [NAMES.original_key(stored) for stored in (PROBE, "%~", "%~2", "a%~.", "%~a")] == [None] * 5


def test_the_id_of_a_name_begins_with_the_id_of_its_prefix() -> None:
    for name in [*ALL[::7], *ITSELF, *STORED, *LONG]:
        for end in {1, 2, 3, len(name) // 2, len(name)}:
            assert NAMES.key(name).startswith(NAMES.key_prefix(name[:end]))


# On the server


@pytest.mark.parametrize("prefix", ["a/", "-", "=", "_", "__", "%", "%~", ".", "é", "🌍", "\ud7ff", "n" * 1490])
async def test_a_prefix_finds_its_keys_and_no_others(store: FirestoreStore, prefix: str) -> None:
    keys = [f"{prefix}{end}" for end in ("a", "/", "__", ".", "é" * 10)]
    others = ["a", ".", "..", "a-", "b", "~", "\uffff", "n" * 1489]
    async with store:
        await store.put_many([*keys, *others], [{"n": 1}] * (len(keys) + len(others)))
        expected = sorted({key for key in [*keys, *others] if key.startswith(prefix)})
        found = await store.scan(prefix=prefix)
    assert sorted(found.keys) == expected


async def test_long_names_are_read_from_their_documents(store: FirestoreStore, raw: Raw) -> None:
    collection, key = "c" * 2000, "k/" * 2000
    async with store:
        await store.put(key, {"n": 1}, collection=collection)
        assert await store.keys(collection) == [key]
        assert await store.collections() == [collection]
    ((collection_id, key_id),) = raw.ids()
    document = raw.get(collection_id, key_id)
    assert document is not None
    assert (document["collection"], document["key"]) == (collection, key)


async def test_a_shortened_id_of_another_name_is_not_returned(store: FirestoreStore, raw: Raw) -> None:
    async with store:
        await store.put("k" * 2000, {"n": 1})
        ((collection_id, key_id),) = raw.ids()
        raw.client.document(collection_id, key_id).update({"key": "another"})
        assert await store.get("k" * 2000) is None


@pytest.mark.parametrize("cursor", ["", "a/b", ".", "__x__", "n" * 1501])
async def test_a_cursor_that_is_not_a_legal_id_is_refused(store: FirestoreStore, cursor: str) -> None:
    async with store:
        await store.put_many(["a", "b"], [{"n": 1}] * 2)
        page = await store.scan(limit=1)
        assert page.cursor is not None
        with pytest.raises(ValueError, match="cursor"):
            await store.scan(cursor=page.cursor.removesuffix("a") + cursor)


# The strategies of earlier versions

V1 = FirestoreV1KeySanitizationStrategy()
DIGEST = "c14cddc033f64b9dea80ea675cf280a015e672516090a5626781153dc68fea11"


def test_a_v1_strategy_returns_the_same_names_as_earlier_versions() -> None:
    assert V1.sanitize("plain") == "plain"
    assert V1.sanitize("a/b") == f"S_a_b-{DIGEST}"
    assert V1.sanitize("____").startswith("S_____-c0a694d0")
    assert V1.sanitize("n" * 1501) == "H_152563dfee983585dae22bff282209ead7280a146cb5432b1145f54904f0a4c0"
    long = V1.sanitize("a/" + "é" * 740 + "x")
    assert len(long.encode()) == 1499
    assert long.endswith("é-58968b8eabf29a0e309647bdb8733635592ead17985b342b769337140227e3b1")


async def test_a_store_with_v1_strategies_uses_their_ids(raw: Raw, place: dict[str, Any]) -> None:
    strategies = (FirestoreV1CollectionSanitizationStrategy(), V1)
    async with FirestoreStore(
        **place, collection_sanitization_strategy=strategies[0], key_sanitization_strategy=strategies[1]
    ) as store:
        for key in ("a/b", "%~1", "plain"):
            await store.put(key, {"key": key}, collection="a/b")
        assert await store.get_many(["a/b", "%~1", "plain"], collection="a/b") == [
            {"key": "a/b"},
            {"key": "%~1"},
            {"key": "plain"},
        ]
        assert raw.ids() == [
            (f"S_a_b-{DIGEST}", "%~1"),
            (f"S_a_b-{DIGEST}", f"S_a_b-{DIGEST}"),
            (f"S_a_b-{DIGEST}", "plain"),
        ]
        with pytest.raises(KeyValueStoreError, match="cannot restore"):
            await store.keys("a/b")
