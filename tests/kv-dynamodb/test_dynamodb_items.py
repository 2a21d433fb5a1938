"""Stored items, as read and written by the raw client, and their size limits."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from math import ceil
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core import clock as clocks
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.dynamodb import DynamoDBStore
from key_value.aio.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .conftest import Raw

MAX_ITEM = 400 * 1024

LONG_NAMES = {
    "ASCII": ("c" * 2049, "k" * 1025),
    "emoji": ("🌍" * 513, "🌍" * 257),
    "64 KiB": ("c" * 65_536, "k" * 65_536),
}


@pytest.fixture
async def store(place: dict[str, Any]) -> AsyncIterator[DynamoDBStore]:
    async with DynamoDBStore(**place) as store:
        yield store


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


def now() -> float:
    return clocks.now().timestamp()


def envelope(collection: str, key: str, **fields: Any) -> dict[str, str]:
    return {"S": json.dumps({"version": 1, "collection": collection, "key": key, "value": {"n": 1}, **fields})}


# Items


async def test_an_entry_is_stored_as_an_item_in_the_documented_format(store: DynamoDBStore, raw: Raw) -> None:
    before = datetime.now(timezone.utc)
    await store.put("alice", {"n": 1}, collection="users")
    item = raw.get("users", "alice")
    assert item is not None
    assert set(item) == {"collection", "key", "value"}
    text = json.loads(item["value"]["S"])
    assert before <= datetime.fromisoformat(text.pop("created_at")) <= datetime.now(timezone.utc)
    assert text == {"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}


@pytest.mark.parametrize("ttl", [90, 1.9, 0.5, 1e-6])
async def test_dynamodb_expires_an_item_no_earlier_than_its_entry(store: DynamoDBStore, raw: Raw, ttl: float) -> None:
    await store.put("one", {"n": 1}, ttl=ttl)
    await store.put_many(["two"], [{"n": 1}], ttl=ttl)
    for key in ("one", "two"):
        item = raw.get("default_collection", key)
        assert item is not None
        expires_at = datetime.fromisoformat(json.loads(item["value"]["S"])["expires_at"])
        assert item["ttl"] == {"N": str(ceil(expires_at.timestamp()))}


async def test_a_put_without_ttl_clears_the_expiry(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("key", {"n": 1}, ttl=90)
    await store.put("key", {"n": 1})
    assert "ttl" not in (raw.get("default_collection", "key") or {})


async def test_a_ttl_may_last_until_the_year_9999(store: DynamoDBStore) -> None:
    remaining = datetime(9999, 12, 31, tzinfo=timezone.utc) - datetime.now(timezone.utc)
    await store.put("key", {"n": 1}, ttl=remaining.total_seconds())
    assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize("item", [{}, {"value": {"N": "1"}}, {"value": {"S": "text"}}, {"value": {"B": b"{}"}}])
async def test_an_item_that_is_not_an_entry_is_reported_as_corrupt(
    store: DynamoDBStore, raw: Raw, item: dict[str, Any]
) -> None:
    raw.put("users", "alice", **item)
    for read in (
        store.get("alice", collection="users"),
        store.get_many(["alice"], collection="users"),
        store.get_versioned("alice", collection="users"),
        store.put_if_absent("alice", {"n": 1}, collection="users"),
    ):
        with pytest.raises(DeserializationError):
            await read


# Expiry, which DynamoDB enforces days later


async def test_an_expired_item_is_invisible_to_every_operation(
    store: DynamoDBStore, raw: Raw, clock: FakeClock
) -> None:
    await store.put_many(["a", "b", "c"], [{"n": 1}] * 3, collection="shelf", ttl=100)
    _, _, version = await store.get_versioned("a", collection="shelf")
    assert version is not None
    clock.advance(100)
    assert await store.get_many(["a", "b"], collection="shelf") == [None, None]
    assert await store.keys("shelf") == []
    assert await store.collections() == []
    assert await store.put_if_version("a", {"n": 2}, version, collection="shelf") is False
    assert await store.delete_if_version("a", version, collection="shelf") is False
    assert await store.delete("a", collection="shelf") is False
    assert await store.delete_many(["b", "c"], collection="shelf") == 0
    assert raw.names() == []


@pytest.mark.parametrize("beyond", [-1e-6, 0.0, 0.4, 0.999_999, 1.0, 2.5, 1e6])
@pytest.mark.parametrize("ttl", [100.0, 100.4, 100.999_999])
async def test_an_entry_is_listed_up_to_the_microsecond_it_expires(
    store: DynamoDBStore, clock: FakeClock, ttl: float, beyond: float
) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="shelf", ttl=ttl)
    clock.advance(ttl + beyond)
    live = beyond < 0
    assert await store.keys("shelf") == (["a", "b"] if live else [])
    assert await store.collections() == (["shelf"] if live else [])
    assert await store.delete_many(["a"], collection="shelf") == live
    assert await store.put_if_absent("b", {"n": 2}, collection="shelf") is not live


async def test_an_entry_is_listed_in_the_last_second_that_the_predecessor_truncates(
    store: DynamoDBStore, raw: Raw, clock: FakeClock
) -> None:
    expires_at = datetime.fromtimestamp(int(now()) + 10.7, timezone.utc)
    text = envelope("shelf", "a", expires_at=expires_at.isoformat())
    raw.put("shelf", "a", value=text, ttl={"N": str(int(expires_at.timestamp()))})
    clock.advance(expires_at.timestamp() - now() - 0.1)
    assert await store.keys("shelf") == ["a"]
    assert await store.get("a", collection="shelf") == {"n": 1}
    clock.advance(0.2)
    assert await store.keys("shelf") == []


async def test_an_item_without_ttl_expires_by_its_envelope(store: DynamoDBStore, raw: Raw) -> None:
    raw.put("users", "alice", value=envelope("users", "alice", expires_at="2001-01-01T00:00:00+00:00"))
    assert await store.get("alice", collection="users") is None
    assert await store.put_if_absent("alice", {"n": 2}, collection="users") is True


# Names


@pytest.mark.parametrize(("collection", "key"), LONG_NAMES.values(), ids=LONG_NAMES)
async def test_names_longer_than_the_limits_work_and_are_listed(
    store: DynamoDBStore, collection: str, key: str
) -> None:
    await store.put(key, {"n": 1}, collection=collection)
    await store.put(key + "x" if len(key) < 65_536 else key[:-1], {"n": 2}, collection=collection)
    assert await store.get(key, collection=collection) == {"n": 1}
    assert key in await store.keys(collection)
    assert len(await store.keys(collection)) == 2
    assert key in (await store.scan(collection, prefix=key)).keys
    assert await store.collections() == [collection]
    assert await store.delete_many([key], collection=collection) == 1
    assert await store.destroy_collection(collection) is True
    assert await store.collections() == []


@pytest.mark.parametrize("size", [1021, 1022, 1023, 1024])
async def test_a_key_up_to_the_limit_is_stored_unchanged(store: DynamoDBStore, raw: Raw, size: int) -> None:
    await store.put("k" * size, {"n": 1})
    assert raw.names() == [("default_collection", "k" * size)]


async def test_a_key_that_looks_like_a_shortened_key_does_not_collide(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("k" * 2000, {"n": 1})
    [(_, shortened)] = raw.names()
    assert len(shortened) == 1024
    await store.put(shortened, {"n": 2})
    assert await store.get("k" * 2000) == {"n": 1}
    assert await store.get(shortened) == {"n": 2}
    assert sorted(await store.keys()) == sorted(["k" * 2000, shortened])


async def test_a_prefix_is_a_key_condition_and_not_a_filter(store: DynamoDBStore, raw: Raw) -> None:
    await store.put_many([f"{number:04}" for number in range(1000)], [{"n": 1}] * 1000)
    seen = raw.client.query(
        TableName=raw.table,
        KeyConditionExpression="#c = :c AND begins_with(#k, :k)",
        ExpressionAttributeNames={"#c": "collection", "#k": "key"},
        ExpressionAttributeValues={":c": {"S": "default_collection"}, ":k": {"S": "012"}},
    )
    page = await store.scan(prefix="012", limit=1000)
    assert len(page.keys) == seen["ScannedCount"] == 10


@pytest.mark.parametrize("position", ["", "other", "k" * 1025, "\ud800"], ids=repr)
async def test_an_invalid_cursor_is_refused(store: DynamoDBStore, position: str) -> None:
    await store.put_many(["k1", "k2"], [{"n": 1}] * 2)
    cursor = (await store.scan(prefix="k", limit=1)).cursor
    assert cursor is not None
    with pytest.raises(ValueError, match="cursor"):
        await store.scan(prefix="k", cursor=cursor.removesuffix("k1") + position)


async def test_a_cursor_continues_after_its_key_was_deleted(store: DynamoDBStore) -> None:
    await store.put_many(["a", "b", "c"], [{"n": 1}] * 3)
    page = await store.scan(limit=1)
    await store.delete("a")
    assert (await store.scan(cursor=page.cursor)).keys == ["b", "c"]


# Sizes


async def test_the_largest_item_is_400_kib(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("key", {"text": ""}, collection="shelf")
    item = raw.get("shelf", "key")
    assert item is not None
    room = MAX_ITEM - sum(len(name) + len(value["S"].encode()) for name, value in item.items())
    await store.put("key", {"text": "x" * room}, collection="shelf")
    with pytest.raises(ValueTooLargeError):
        await store.put("key", {"text": "x" * (room + 1)}, collection="shelf")
    assert await store.get("key", collection="shelf") == {"text": "x" * room}


async def test_a_batch_with_one_oversized_entry_stores_nothing(store: DynamoDBStore, raw: Raw) -> None:
    keys = [f"key {number}" for number in range(60)]
    with pytest.raises(ValueTooLargeError):
        await store.put_many(keys, [*[{"n": 1}] * 59, {"text": "x" * MAX_ITEM}])
    assert raw.names() == []


@pytest.mark.parametrize("letter", ["x", "é", '"', "🌍"])
async def test_batches_of_the_largest_items_are_put_and_read(store: DynamoDBStore, letter: str) -> None:
    keys = [f"key {number}" for number in range(60)]
    text = letter * (390_000 // len(json.dumps(letter, ensure_ascii=False)[1:-1].encode()))
    await store.put_many(keys, [{"n": number, "text": text} for number in range(60)])
    assert [value and value["n"] for value in await store.get_many(keys)] == list(range(60))


# Destruction


async def test_destroy_leaves_items_of_other_applications_in_the_table(store: DynamoDBStore, raw: Raw) -> None:
    foreign: dict[str, dict[str, Any]] = {
        "text": {"value": {"S": "text"}},
        "number": {"value": {"N": "1"}},
        "nothing": {},
        "nameless": {"value": {"S": '{"version": 1, "value": {"n": 1}}'}},
        "renamed": {"value": envelope("users", "alice")},
        "later": {"value": envelope("foreign", "later", version=2)},
    }
    for key, attributes in foreign.items():
        raw.put("foreign", key, **attributes)
    await store.put_many(["a", "b"], [{"n": 1}] * 2, collection="foreign")
    assert await store.destroy_collection("foreign") is True
    assert await store.destroy_collection("foreign") is False
    await store.put("a", {"n": 1}, collection="users")
    assert await store.destroy() is True
    assert sorted(raw.names()) == sorted(("foreign", key) for key in foreign)


async def test_ten_thousand_entries_are_put_listed_read_and_destroyed(store: DynamoDBStore, raw: Raw) -> None:
    keys = [f"key {number:05}" for number in range(10_000)]
    await store.put_many(keys, [{"key": key} for key in keys], collection="shelf")
    assert await store.keys("shelf") == keys
    assert await store.get_many(keys, collection="shelf") == [{"key": key} for key in keys]
    assert await store.destroy_collection("shelf") is True
    assert raw.names() == []


# Versions


async def test_a_plain_write_by_another_program_changes_the_version(store: DynamoDBStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    assert version is not None
    raw.client.update_item(
        TableName=raw.table,
        Key={"collection": {"S": "default_collection"}, "key": {"S": "key"}},
        UpdateExpression="SET #v = :v",
        ExpressionAttributeNames={"#v": "value"},
        ExpressionAttributeValues={":v": envelope("default_collection", "key")},
    )
    assert await store.put_if_version("key", {"n": 2}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert await store.get("key") == {"n": 1}


async def test_exactly_one_of_many_concurrent_deletions_succeeds(store: DynamoDBStore, place: dict[str, Any]) -> None:
    other = DynamoDBStore(**place)
    async with other:
        for _ in range(5):
            await store.put("code", {"n": 1})
            answers = await asyncio.gather(*(each.delete("code") for each in (store, other) * 25))
            assert sum(answers) == 1
            await store.put("code", {"n": 1})
            _, _, version = await store.get_versioned("code")
            assert version is not None
            answers = await asyncio.gather(*(each.delete_if_version("code", version) for each in (store, other) * 25))
            assert sum(answers) == 1
