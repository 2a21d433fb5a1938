"""Documents in OpenSearch, and exchange of data with py-key-value-aio 0.5.0."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, StoreSetupError
from key_value.aio.stores.opensearch import OpenSearchStore
from key_value.aio.stores.opensearch.store import (
    OpenSearchV1CollectionSanitizationStrategy,
    OpenSearchV1KeySanitizationStrategy,
)
from opensearchpy import AsyncOpenSearch

if TYPE_CHECKING:
    from collections.abc import Callable

    from predecessor import Predecessor

    from .conftest import Raw

VALUES: dict[str, dict[str, Any]] = {
    "empty": {},
    "leaves": {"null": None, "true": True, "text": "höme é 🌍", "integer": 2**53 + 1, "float": 0.1 + 0.2},
    "floats": {"large": 1e22, "largest": 1.7976931348623157e308, "small": 5e-324, "negative zero": -0.0},
    "nested": {"items": [1, {"b": 2}, "three", [4.0], None], "a.b": 1, "a": {"b": 2}, "": {"": 1}, ".": 1},
    "thirty objects": {"items": [{"n": number} for number in range(30)]},
    "long texts in a large value": {"a": {"b": ["x" * 30_000] * 3}},
    "many leaves": {f"name {number}": "x" * 100 for number in range(1000)},
}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"z": 1}
    for _ in range(depth - 1):
        value = {"d": value}
    return value


UNFIT: dict[str, dict[str, Any]] = {
    "too deep": nested(200),
    "much too deep": nested(499),
    "a long leaf": {"text": "x" * 32_767},
    "a leaf long with its path": {"name": {"text": "x" * 32_760}},
    "a long name": {"n" * 60_000: 1},
    "over 64 bits": {"n": 2**70},
    "NUL": {"a\0b": "c\0"},
}


async def test_an_entry_is_a_document_of_format_v1(store: OpenSearchStore, raw: Raw) -> None:
    before = datetime.now(timezone.utc)
    await store.put("ada/é", {"n": 1, "items": [{"a": None}]}, collection="users", ttl=60)
    await store.put("forever", {}, collection="users")
    await store.close()
    document = raw.get("users", "ada/é")
    assert document is not None
    created_at, expires_at = (datetime.fromisoformat(document.pop(name)) for name in ("created_at", "expires_at"))
    assert document == {
        "version": 1,
        "collection": "users",
        "key": "ada/é",
        "value": {"flat": {"n": 1, "items": [{"a": None}]}},
    }
    assert timedelta(0) <= created_at - before < timedelta(seconds=30)
    assert expires_at - created_at == timedelta(seconds=60)
    assert "expires_at" not in (raw.get("users", "forever") or {})


async def test_every_leaf_of_a_value_can_be_searched_for(store: OpenSearchStore, raw: Raw) -> None:
    await store.put("ada", {"address": {"city": "London"}}, collection="users")
    await store.put("bob", {"address": {"city": "Paris"}}, collection="users")
    assert sorted(await store.keys("users")) == ["ada", "bob"]
    await store.close()
    body = {"query": {"term": {"value.flat.address.city": "London"}}}
    hits = raw.ask("POST", f"/{raw.prefix}-users/_search", body)["hits"]["hits"]
    assert [hit["_id"] for hit in hits] == ["ada"]


@pytest.mark.parametrize("value", UNFIT.values(), ids=UNFIT)
async def test_a_value_that_the_field_rejects_is_stored_as_text_and_kept_exactly(
    store: OpenSearchStore, raw: Raw, value: dict[str, Any]
) -> None:
    await store.put("key", value)
    await store.put_many(["a", "b"], [value, {"n": 1}])
    assert await store.get("key") == value
    assert await store.get_many(["a", "b"]) == [value, {"n": 1}]
    await store.close()
    document = raw.get("default_collection", "key")
    assert document is not None
    assert json.loads(document["value"].pop("json")) == value
    assert document["value"] == {}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
async def test_a_value_that_the_field_accepts_is_stored_in_it(
    store: OpenSearchStore, raw: Raw, value: dict[str, Any]
) -> None:
    await store.put("key", value)
    await store.close()
    document = raw.get("default_collection", "key")
    assert document is not None
    assert json.dumps(document["value"]) == json.dumps({"flat": value})


async def test_values_are_the_same_with_a_client_that_was_passed_in(place: dict[str, Any]) -> None:
    async with AsyncOpenSearch(hosts=[place["url"]]) as client:
        async with OpenSearchStore(opensearch_client=client, index_prefix=place["index_prefix"]) as store:
            for name, value in {**VALUES, **UNFIT}.items():
                await store.put(name, value)
                assert json.dumps(await store.get(name)) == json.dumps(value)
        # The client is not closed.
        assert (await client.info())["version"]["distribution"] == "opensearch"


# Names


async def test_collections_are_indices_and_keys_are_ids(store: OpenSearchStore, raw: Raw) -> None:
    long_key, long_collection = "k" * 600, "c" * 300
    digest = sha256(long_key.encode()).hexdigest()
    for collection in ("users", "Users", "höme 🌍", "a/b:c", "%41", "_x", long_collection):
        await store.put("A/é", {"collection": collection}, collection=collection)
    await store.put(long_key, {"n": 1}, collection="users")
    assert raw.get("users", "A/é") is not None
    assert raw.get("users", f"{'k' * 446}%~{digest}") is not None
    await store.close()
    shortened = f"{'c' * (254 - len(raw.prefix) - 66)}%~{sha256(long_collection.encode()).hexdigest()}"
    expected = ["users", "%55sers", "höme%20🌍", "a%2fb%3ac", "%2541", "_x", shortened]
    assert raw.indices() == sorted(f"{raw.prefix}-{name}" for name in expected)


async def test_names_too_long_for_their_fields_are_kept_in_the_document(store: OpenSearchStore, raw: Raw) -> None:
    key, collection = "k" * 65_000, "c" * 65_000
    await store.put(key, {"n": 1}, collection=collection)
    assert await store.keys(collection) == [key]
    assert await store.collections() == [collection]
    assert await store.destroy_collection(collection) is True
    assert await store.get(key, collection=collection) is None
    await store.close()
    assert len(raw.indices()) == 1


async def test_an_entry_that_states_other_names_is_not_read_listed_or_deleted(store: OpenSearchStore, raw: Raw) -> None:
    await store.put("own", {"n": 1}, collection="users")
    other = {"version": 1, "collection": "Users", "key": "key", "value": {"flat": {"n": 2}}}
    raw.put("users", "key", other)
    assert await store.get("key", collection="users") is None
    assert await store.delete("key", collection="users") is False
    assert await store.keys("users") == ["own"]
    assert await store.collections() == ["users"]
    assert await store.destroy_collection("users") is True
    assert raw.get("users", "key") == other
    await store.close()


# Indices


async def test_concurrent_stores_create_an_index_once(raw: Raw, place: dict[str, Any]) -> None:
    stores = [OpenSearchStore(**place) for _ in range(8)]
    await asyncio.gather(*(store.put(f"key {number}", {"n": number}) for number, store in enumerate(stores)))
    assert len(await stores[0].keys()) == 8
    for store in stores:
        await store.close()
    assert raw.indices() == [f"{raw.prefix}-default_collection"]


async def test_a_missing_index_is_an_error_without_auto_create(raw: Raw, place: dict[str, Any]) -> None:
    store = OpenSearchStore(**place, auto_create=False)
    for call in (store.setup(), store.get("a"), store.put("a", {}), store.keys()):
        with pytest.raises(StoreSetupError, match=r"no such index|does not exist"):
            await call
    async with OpenSearchStore(**place) as creating:
        await creating.setup_collection(collection="default_collection")
    assert raw.indices() == [f"{raw.prefix}-default_collection"]
    await store.put("a", {"n": 1})
    assert await store.keys() == ["a"]
    await store.close()


async def test_an_index_with_other_fields_is_refused(store: OpenSearchStore, raw: Raw) -> None:
    raw.ask("PUT", f"/{raw.prefix}-users", {"mappings": {"properties": {"key": {"type": "text"}}}})
    with pytest.raises(StoreSetupError, match="field types differ"):
        await store.put("a", {"n": 1}, collection="users")
    await store.close()


async def test_a_deleted_index_is_recreated(store: OpenSearchStore, raw: Raw) -> None:
    await store.put("a", {"n": 1}, collection="users")
    raw.ask("DELETE", f"/{raw.prefix}-users")
    assert await store.get("a", collection="users") is None
    assert await store.keys("users") == []
    await store.close()
    await store.put("a", {"n": 2}, collection="users")
    assert await store.keys("users") == ["a"]
    await store.close()


async def test_an_invalid_time_is_corrupt(store: OpenSearchStore, raw: Raw) -> None:
    await store.put("a", {"n": 1}, collection="users")
    raw.put("users", "b", {"version": 1, "key": "b", "collection": "users", "created_at": 7, "value": {"flat": {}}})
    with pytest.raises(DeserializationError):
        await store.get("b", collection="users")
    await store.close()


# Versions and expiry


async def test_a_plain_write_of_another_client_changes_the_version(store: OpenSearchStore, raw: Raw) -> None:
    await store.put("key", {"n": 1}, collection="users")
    version = (await store.get_versioned("key", collection="users")).version
    assert version is not None
    document = raw.get("users", "key")
    raw.put("users", "key", document)
    assert await store.put_if_version("key", {"n": 2}, version, collection="users") is False
    assert await store.delete_if_version("key", version, collection="users") is False
    assert raw.get("users", "key") == document
    await store.close()


async def test_culling_removes_expired_entries_from_every_index_and_nothing_else(
    store: OpenSearchStore, raw: Raw
) -> None:
    for collection in ("a", "B"):
        await store.put("passed", {"n": 1}, collection=collection, ttl=0.001)
        await store.put("live", {"n": 1}, collection=collection, ttl=1000)
    foreign = {"expires_at": "2000-01-01T00:00:00Z"}
    raw.put("a", "foreign", foreign)
    await asyncio.sleep(0.01)
    await store.cull()
    assert [raw.get(index, "passed") for index in ("a", "%42")] == [None, None]
    assert [raw.get(index, "live") is not None for index in ("a", "%42")] == [True, True]
    assert raw.get("a", "foreign") == foreign
    await store.close()


# Exchange with the predecessor


@pytest.fixture(scope="module")
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Predecessor:
    return predecessor_of("opensearch")


def exchanged(value: object) -> str:
    return json.dumps(value, sort_keys=True)


_MODULE = "__import__('key_value.aio.stores.opensearch.store', fromlist=['store'])"
STRATEGIES = (
    f"key_sanitization_strategy={_MODULE}.OpenSearchV1KeySanitizationStrategy(),"
    f"collection_sanitization_strategy={_MODULE}.OpenSearchV1CollectionSanitizationStrategy()"
)
# The predecessor's driver prints refused requests.
_SILENCE = "__import__('logging').disable()"


def both(raw: Raw, *, strategies: bool) -> tuple[OpenSearchStore, str]:
    """Return this store, and source code that constructs the predecessor's."""
    options = f"url={raw.server.url!r}, index_prefix={raw.prefix!r}, {STRATEGIES if strategies else ''}"
    theirs = f"{_SILENCE} or OpenSearchStore({options})"
    if not strategies:
        return OpenSearchStore(url=raw.server.url, index_prefix=raw.prefix), theirs
    ours = OpenSearchStore(
        url=raw.server.url,
        index_prefix=raw.prefix,
        key_sanitization_strategy=OpenSearchV1KeySanitizationStrategy(),
        collection_sanitization_strategy=OpenSearchV1CollectionSanitizationStrategy(),
    )
    return ours, theirs


@pytest.mark.parametrize("strategies", [False, True])
async def test_this_store_reads_what_the_predecessor_wrote(
    raw: Raw,
    predecessor: Predecessor,
    strategies: bool,  # noqa: FBT001 — a parameter of the test
) -> None:
    store, theirs = both(raw, strategies=strategies)
    collection = "Höme/é x" if strategies else "höme"
    names: dict[str, Any] = {"keys": list(VALUES), "collection": collection}
    await asyncio.to_thread(
        predecessor.call,
        theirs,
        ("put_many", {**names, "values": list(VALUES.values()), "ttl": 1000}),
        ("put", {"key": "deep é/", "value": nested(50), "collection": collection}),
    )
    assert exchanged(await store.get_many(**names)) == exchanged(list(VALUES.values()))
    assert await store.get("deep é/", collection=collection) == nested(50)
    assert 900 < ((await store.ttl("empty", collection=collection))[1] or 0) <= 1000
    assert sorted(await store.keys(collection)) == sorted([*VALUES, "deep é/"])
    assert await store.collections() == [collection]
    # Also in an index created by the predecessor.
    await store.put("a long leaf", UNFIT["a long leaf"], collection=collection)
    assert await store.get("a long leaf", collection=collection) == UNFIT["a long leaf"]
    await store.close()


@pytest.mark.parametrize("strategies", [False, True])
async def test_the_predecessor_reads_what_this_store_wrote(
    raw: Raw,
    predecessor: Predecessor,
    strategies: bool,  # noqa: FBT001 — a parameter of the test
) -> None:
    store, theirs = both(raw, strategies=strategies)
    collection = "Höme/é x" if strategies else "höme"
    names: dict[str, Any] = {"keys": list(VALUES), "collection": collection}
    async with store:
        await store.put_many(**names, values=list(VALUES.values()), ttl=1000)
        await store.put("passed", {"n": 1}, collection=collection, ttl=0.001)
    found, [_, ttl], passed = await asyncio.to_thread(
        predecessor.call,
        theirs,
        ("get_many", names),
        ("ttl", {"key": "empty", "collection": collection}),
        ("get", {"key": "passed", "collection": collection}),
    )
    assert exchanged(found) == exchanged(list(VALUES.values()))
    assert 900 < ttl <= 1000
    assert passed is None


async def test_both_write_the_same_documents(raw: Raw, predecessor: Predecessor) -> None:
    store, theirs = both(raw, strategies=False)
    value = {"n": 1, "items": [1.5, None]}
    await store.put("ours", value, collection="users", ttl=60)
    await store.close()
    put = ("put", {"key": "theirs", "value": value, "collection": "users", "ttl": 60})
    await asyncio.to_thread(predecessor.call, theirs, put)
    ours, other = raw.get("users", "ours"), raw.get("users", "theirs")
    assert ours is not None
    assert other is not None
    for document in (ours, other):
        assert {type(document.pop(name)) for name in ("created_at", "expires_at", "key")} == {str}
    assert ours == other
