"""Entries as entities: names, long values, and entities of other applications in the table."""

from __future__ import annotations

import json
import operator
from datetime import datetime, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.azure_tables import AzureTablesSanitizationStrategy, AzureTablesStore
from key_value.aio.stores.azure_tables.names import range_of, restored_name, stored_name
from key_value.aio.stores.azure_tables.queries import cursor_of, position_of

if TYPE_CHECKING:
    from key_value.aio.core.sanitization import SanitizationStrategy

    from .conftest import Raw

PART = 32 * 1024

# Legal characters that look escaped, and illegal ones.
texts = st.text(st.one_of(st.sampled_from("!^/F2\\#?\x7f🌍"), st.characters(exclude_categories=["Cs"])), max_size=60)
long_texts: st.SearchStrategy[str] = st.builds(operator.mul, texts, st.integers(1, 40))


def put_expired(raw: Raw, collection: str, key: str, *, names: tuple[str, str] | None = None) -> None:
    """Put an expired entry. It states the names it is stored under, or `names`."""
    entry: dict[str, Any] = {
        "version": 1,
        "collection": (names or (collection, key))[0],
        "key": (names or (collection, key))[1],
        "value": {},
        "created_at": "2020-01-01T00:00:00+00:00",
        "expires_at": "2020-01-02T00:00:00+00:00",
    }
    raw.put(collection, key, Value=json.dumps(entry), ExpiresAt=1577923200)


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


# Names


@pytest.mark.parametrize(
    "name", ["plain", "a b", "höme é 🌍", "a%2Fb", "100%", "a'b", "a::b", "H_a", "!", "a!b", "^", "k" * 512, "🌍" * 256]
)
def test_a_name_that_azure_accepts_is_stored_unchanged(name: str) -> None:
    assert stored_name(name) == restored_name(name) == name


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a/b", "a!^2Fb"),
        ("\\#?", "!^5C!^23!^3F"),
        ("\x00\x7f\x80", "!^00!^7F!^C2!^80"),
        ("a!^2Fb", "a!^21^2Fb"),
        ("k" * 513, "k" * 445 + "!^^" + sha256(b"k" * 513).hexdigest()),
    ],
)
def test_a_name_that_azure_refuses_is_escaped_or_shortened(name: str, stored: str) -> None:
    assert stored_name(name) == stored


@given(long_texts)
@example("/" * 200)
def test_a_stored_name_is_legal_and_reversible(name: str) -> None:
    stored = stored_name(name)
    assert units(stored) <= 512
    assert not set(stored) & set("/\\#?\x00\x1f\x7f\x9f")
    assert restored_name(stored) == (None if "!^^" in stored else name)


@given(long_texts, long_texts)
@example("a!", "^b")
@example("🌍" * 222, "b" * 100)
def test_a_key_is_in_the_range_of_its_prefix(prefix: str, rest: str) -> None:
    begin, end = range_of(prefix)
    stored = stored_name(prefix + rest).encode("utf-16-be")
    assert begin.encode("utf-16-be") <= stored
    assert end is None or stored < end.encode("utf-16-be")


async def test_keys_that_azure_refuses_are_listed_by_prefix(store: AzureTablesStore, raw: Raw) -> None:
    keys = ["dir/a", "dir/b", "dir", "dirt", "x" * 600, "x" * 601, "!", "!^", "!^2F"]
    async with store:
        await store.put_many(keys, [{"key": key} for key in keys], collection="a/b")
        assert sorted(await store.keys("a/b")) == sorted(keys)
        assert await store.collections() == ["a/b"]
        assert sorted((await store.scan("a/b", prefix="dir/")).keys) == ["dir/a", "dir/b"]
        assert sorted((await store.scan("a/b", prefix="x" * 550)).keys) == ["x" * 600, "x" * 601]
        assert sorted((await store.scan("a/b", prefix="!")).keys) == ["!", "!^", "!^2F"]
    assert ("a!^2Fb", "dir!^2Fa") in raw.names()


async def test_a_scan_continues_with_names_of_maximal_length(store: AzureTablesStore) -> None:
    """The URL contains the collection, the prefix twice, and the position. Servers refuse URLs over 16 KiB."""
    collection, beginning = "中" * 512, "中" * 500
    keys = [f"{beginning}{number}" for number in range(3)]
    async with store:
        await store.put_many(keys, [{"n": 1}] * 3, collection=collection)
        page = await store.scan(collection, prefix=beginning, limit=2)
        rest = await store.scan(collection, prefix=beginning, limit=2, cursor=page.cursor)
    assert sorted([*page.keys, *rest.keys]) == keys


@pytest.mark.parametrize("row", ["a2V5", None])
def test_a_cursor_keeps_the_position_that_azure_returned(row: str | None) -> None:
    """Azure may leave out the row."""
    position = {"PartitionKey": "c2hlbGY=", "RowKey": row}
    cursor = cursor_of(position)
    assert cursor is not None
    assert position_of(cursor) == position


@pytest.mark.parametrize(
    "cursor", ["", "{}", "[1]", "5", '{"PartitionKey": "a"}', '{"PartitionKey": "a", "RowKey": 5}']
)
def test_a_cursor_that_azure_never_returns_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="does not come from a scan"):
        position_of(cursor)


def test_the_strategy_of_earlier_versions_hashes_names_that_azure_refuses() -> None:
    strategy = AzureTablesSanitizationStrategy()
    assert strategy.sanitize("k" * 256) == "k" * 256
    assert strategy.sanitize("k" * 257) == f"H_{sha256(b'k' * 257).hexdigest()}"
    assert strategy.sanitize("a/b") == f"H_{sha256(b'a/b').hexdigest()}"


@pytest.mark.parametrize(
    "strategy",
    [AzureTablesSanitizationStrategy(), EscapingStrategy("[/,]", 2000)],
    ids=["hashed", "escaped"],
)
async def test_entries_stored_under_names_from_a_strategy_are_removed(
    place: dict[str, Any], raw: Raw, strategy: SanitizationStrategy
) -> None:
    strategies: dict[str, Any] = {
        "collection_sanitization_strategy": strategy,
        "key_sanitization_strategy": strategy,
    }
    async with AzureTablesStore(**place, **strategies) as store:
        await store.put_many(["a/b", "c"], [{"n": 1}] * 2, collection="dir/shelf")
        raw.put("other", "ab", Text="hunter2")
        assert await store.destroy_collection("dir/shelf") is True
        assert raw.names() == [("other", "ab")]
        await store.put("a/b", {"n": 1}, collection="dir/shelf")
        await store.destroy()
        assert raw.names() == [("other", "ab")]
        put_expired(raw, strategy.sanitize("dir/shelf"), strategy.sanitize("a/b"), names=("dir/shelf", "a/b"))
        await store.cull()
    assert raw.names() == [("other", "ab")]


async def test_a_long_name_from_a_strategy_is_listed(place: dict[str, Any]) -> None:
    key = "a/" + "k" * 600
    strategy = EscapingStrategy("/", 2000)
    async with AzureTablesStore(**place, key_sanitization_strategy=strategy) as store:
        await store.put(key, {"n": 1})
        assert await store.keys() == [key]


# Values


@pytest.mark.parametrize("text", ["x" * 3 * PART, "🌍" * 2 * PART, "x" + "🌍" * PART], ids=["ascii", "emoji", "both"])
async def test_a_long_value_is_split_over_properties(store: AzureTablesStore, raw: Raw, text: str) -> None:
    async with store:
        await store.put("key", {"text": text}, ttl=60)
        assert await store.get("key") == {"text": text}
        entity = raw.get("default_collection", "key")
        parts = [entity[f"Value{number or ''}"] for number in range(len(entity) - 3)]
        assert len(parts) > 2
        assert max(map(units, parts)) <= PART
        assert json.loads("".join(parts))["value"] == {"text": text}
        await store.put("key", {"n": 1})
        assert set(raw.get("default_collection", "key")) == {"PartitionKey", "RowKey", "Value"}


async def test_the_largest_entry_is_stored(store: AzureTablesStore) -> None:
    limit = store.capabilities.max_value_bytes
    assert limit is not None
    text = "x" * (limit - 300)
    async with store:
        await store.put("key", {"text": text})
        assert await store.get("key") == {"text": text}


async def test_an_expiry_is_stored_in_seconds(store: AzureTablesStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"n": 1}, ttl=10**9)
        _, ttl = await store.ttl("key")
    assert ttl is not None
    entity = raw.get("default_collection", "key")
    assert entity["ExpiresAt"].value > 2**31
    assert entity["ExpiresAt"].edm_type == "Edm.Int64"


# Entities of other applications


async def test_an_entry_that_states_other_names_is_neither_returned_nor_removed(
    store: AzureTablesStore, raw: Raw
) -> None:
    async with store:
        await store.put("key", {"n": 1})
        raw.put("default_collection", "copy", Value=raw.get("default_collection", "key")["Value"])
        assert await store.get("copy") != {"n": 1} or None
        assert await store.destroy() is True
    assert raw.names() == [("default_collection", "copy")]


async def test_an_entity_without_an_entry_is_reported_and_not_removed(store: AzureTablesStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"n": 1})
        raw.put("default_collection", "other", Text="hunter2")
        with pytest.raises(DeserializationError) as caught:
            await store.get("other")
        assert "hunter2" not in str(caught.value)
        await store.destroy_collection("default_collection")
    assert raw.names() == [("default_collection", "other")]


async def test_a_missing_part_is_reported(store: AzureTablesStore, raw: Raw) -> None:
    async with store:
        await store.put("key", {"text": "x" * 3 * PART})
        entity: dict[str, Any] = dict(raw.get("default_collection", "key"))
        del entity["Value1"]
        raw.client.upsert_entity(entity, mode="replace")
        with pytest.raises(DeserializationError):
            await store.get("key")


@pytest.mark.parametrize(
    "expires_at", ["soon", b"soon", 1.5, True, datetime(2020, 1, 1, tzinfo=timezone.utc), 1577923200], ids=repr
)
async def test_a_foreign_property_named_like_the_expiry_is_left_alone(
    store: AzureTablesStore, raw: Raw, expires_at: Any
) -> None:
    async with store:
        await store.put("key", {"n": 1}, collection="shelf")
        raw.put("shelf", "other", Text="hunter2", ExpiresAt=expires_at)
        assert "key" in await store.keys("shelf")
        assert await store.collections() == ["shelf"]
        await store.cull()
    assert raw.names() == [("shelf", "key"), ("shelf", "other")]


async def test_cull_removes_expired_entries_and_nothing_else(store: AzureTablesStore, raw: Raw) -> None:
    async with store:
        await store.setup()
        for key in ("a", "b"):
            put_expired(raw, "shelf", key)
        await store.put_many(["c", "d"], [{"n": 1}] * 2, collection="shelf", ttl=600)
        assert sorted(await store.keys("shelf")) == ["c", "d"]
        await store.cull()
    assert raw.names() == [("shelf", "c"), ("shelf", "d")]
