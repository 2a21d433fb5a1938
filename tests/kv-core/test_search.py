"""Code shared by the Elasticsearch and OpenSearch stores, without a server: names, documents, versions, errors."""

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from key_value.aio.core.clock import to_microseconds
from key_value.aio.core.codec import encode_value
from key_value.aio.core.driver_errors import LazyDriverErrors
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.marks import marked
from key_value.aio.core.search.documents import FlattenedField, document_of, entry_of
from key_value.aio.core.search.driver import Refusal
from key_value.aio.core.search.errors import SEARCH_ERRORS, DocumentsError, meaning_of
from key_value.aio.core.search.indices import SequenceNumber
from key_value.aio.core.search.names import (
    V1CollectionStrategy,
    V1KeyStrategy,
    checked_index_prefix,
    document_id,
    index_name,
)
from key_value.aio.core.search.versions import sequence_number_of, version_of
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    ValueTooLargeError,
)

FIELD = FlattenedField("flat", "flat_object", depth=3)
LATER = datetime(9000, 1, 1, tzinfo=timezone.utc)


def document(value: dict[str, Any], *, collection: str = "users", key: str = "ada") -> dict[str, Any]:
    entry = ManagedEntry(value=value, created_at=LATER, expires_at=LATER)
    return json.loads(document_of(collection, key, entry, FIELD))


# Names


@pytest.mark.parametrize(
    ("collection", "index"),
    [
        ("users", "kv-users"),
        ("höme_1.2-3", "kv-höme_1.2-3"),
        ("Users", "kv-%55sers"),
        ("ÄÜǅ", "kv-%c3%84%c3%9c%c7%85"),
        ("a b,c:d#e", "kv-a%20b%2cc%3ad%23e"),
        ("100%", "kv-100%"),
        ("%41", "kv-%2541"),
        ("a\nb\0", "kv-a%0ab%00"),
    ],
)
def test_an_index_is_named_after_its_collection_with_forbidden_characters_escaped(collection: str, index: str) -> None:
    assert index_name("kv", collection) == index


def test_index_names_are_unique_lower_case_and_within_the_limit() -> None:
    long = [text * 300 for text in ("x", "X", "é", "🌍", "%", "%~")]
    names = ["A", "a", "%41", "%61", "%2541", "a%", "a%~", *long, *(f"{name}y" for name in long)]
    indices = {index_name("kv", name) for name in names}
    assert len(indices) == len(names)
    assert all(len(index.encode()) <= 255 and index == index.lower() for index in indices)


def test_a_name_that_looks_shortened_is_shortened_too() -> None:
    shortened = document_id("k" * 600)
    assert len(shortened.encode()) == 512
    assert document_id(shortened) not in (shortened, document_id("k" * 600))


def test_the_strategies_of_earlier_versions_return_the_same_names() -> None:
    # As in py-key-value-aio 0.5.0.
    collections, keys = V1CollectionStrategy(), V1KeyStrategy()
    assert collections.sanitize("users") == "S_users-7dfb4cf6"
    assert collections.sanitize("höme/é 🌍") == "S_h_me_-960c5b71"
    assert len(collections.sanitize("k" * 600)) == 200
    assert keys.sanitize("alice") == "2bd806c97f0e00af1a1fc3328fa763a9269723c8db8fac4f93af71db186d6e90"


def test_a_prefix_is_lower_cased() -> None:
    assert checked_index_prefix("Sessions-1") == "sessions-1"


# Documents

FITTING: list[dict[str, Any]] = [
    {},
    {"a": [{"b": 1}]},
    {"a": {"b": {}}, "c": [[], []]},
    {"text": '{[{["\\'},
    {"n": 2**64 - 1},
    {"a": ["x" * 20_000] * 3},
]
UNFIT: list[dict[str, Any]] = [
    {"a": [[[]]]},
    {"a": ["x" * 32_600]},
    {"n" * 11_000: {"n": "x" * 11_000}, "m" * 11_000: 1},
    {"n": 2**64},
    {"\0": 1},
]


@pytest.mark.parametrize("value", FITTING)
def test_a_value_that_fits_is_stored_in_the_field(value: dict[str, Any]) -> None:
    assert document(value)["value"] == {"flat": value}


@pytest.mark.parametrize("value", UNFIT)
def test_a_value_that_does_not_fit_is_stored_as_text(value: dict[str, Any]) -> None:
    stored = document(value)["value"]
    assert json.loads(stored.pop("json")) == value
    assert stored == {}


def test_a_written_document_is_read() -> None:
    for value in ({"n": 1}, {"n": 2**70}):
        found = entry_of(document(value, collection="c" * 40_000, key="k" * 40_000), FIELD)
        assert (found.value, found.collection, found.key) == (value, "c" * 40_000, "k" * 40_000)
        assert found.expires_at == LATER


@pytest.mark.parametrize("value", [None, 7, [], {}, {"flat": []}, {"flat": None}, {"json": "not JSON"}, {"json": 7}])
def test_a_document_without_a_value_is_corrupt(value: object) -> None:
    with pytest.raises(DeserializationError):
        entry_of({**document({}), "value": value}, FIELD)


def test_a_document_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueTooLargeError):
        document({"text": "x" * 50_000_000})


# Versions


def test_a_version_holds_the_sequence_number_until_the_entry_expires() -> None:
    seq_no = SequenceNumber(12, 3)
    entry = ManagedEntry(value={})
    assert sequence_number_of(version_of(seq_no, entry, "kv-a"), "kv-a") == seq_no
    entry.expires_at = LATER
    assert version_of(seq_no, entry, "kv-a") == marked(f"12.3@{to_microseconds(LATER)}", "kv-a")
    assert sequence_number_of(version_of(seq_no, entry, "kv-a"), "kv-a") == seq_no
    assert sequence_number_of(marked("12.3@1000", "kv-a"), "kv-a") is None


@pytest.mark.parametrize("version", ["", "1", "1.", "a.b", "1.2@", "1.2@x", "-1.2", "1.2.3", "1" * 30 + ".1"])
def test_a_malformed_version_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="version"):
        sequence_number_of(marked(version, "kv-a"), "kv-a")


@pytest.mark.parametrize("version", ["", "1.2", marked("1.2", "kv-b")])
def test_a_version_of_another_index_is_refused(version: str) -> None:
    with pytest.raises(ValueError, match="version"):
        sequence_number_of(version, "kv-a")


# Errors


@pytest.mark.parametrize(
    ("refusal", "error"),
    [
        (Refusal(401, "security_exception"), StoreSetupError),
        (Refusal(403, ""), StoreSetupError),
        (Refusal(404, "index_not_found_exception"), StoreSetupError),
        (Refusal(429, "cluster_block_exception"), StoreConnectionError),
        (Refusal(503, "cluster_block_exception"), StoreConnectionError),
        (Refusal(403, "cluster_block_exception"), KeyValueStoreError),
        (Refusal(400, "hunter2 is not JSON"), KeyValueStoreError),
    ],
)
def test_a_refusal_is_translated_by_its_remedy(refusal: Refusal, error: type[Exception]) -> None:
    meaning: Any = meaning_of(refusal)
    assert meaning[0] is error
    assert "hunter2" not in meaning[1]


def test_a_refused_batch_names_the_first_keys_and_counts_the_rest() -> None:
    error = DocumentsError([(f"key {number}", Refusal(400)) for number in range(12)], 20)
    meaning: Any = SEARCH_ERRORS[DocumentsError]
    assert "12 of 20 entries" in meaning(error)[1]
    assert "'key 9' and 2 more" in meaning(error)[1]
    assert len(error.keys) == 12


def test_a_lazy_table_is_read_from_its_module_when_it_is_used() -> None:
    table = LazyDriverErrors("key_value.aio.absent")
    with pytest.raises(ModuleNotFoundError):
        dict(table)


def test_a_document_holds_the_value_as_encoded_by_the_codec() -> None:
    value = {"a": [1, {"b": "é"}]}
    encoded = encode_value(value)
    assert (encoded if isinstance(encoded, bytes) else encoded.encode()) in document_of(
        "users", "ada", ManagedEntry(value=value), FIELD
    )
