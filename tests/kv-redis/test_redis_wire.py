"""Stored format v1, as read and written by the raw client and the predecessor."""

from __future__ import annotations

import json
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, KeyValueStoreError
from key_value.aio.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from key_value.aio.stores.redis import RedisStore
    from predecessor import Predecessor

AMBIGUOUS = "a::b::c"

VALUES: dict[str, dict[str, Any]] = {
    "plain": {"name": "Alice", "n": 1.5, "ok": True, "none": None, "roles": ["a", "b"]},
    "unicode": {"höme": "é 🌍 \u2028 \x00"},
    "big integers": {"positive": 2**70, "negative": -(2**70), "unsigned": 2**64 - 1},
    "nested": {"items": [1, {"b": [[], {}, {"c": None}]}]},
    "50 KB": {"text": "x" * 50_000},
}


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], url: str) -> Callable[..., list[Any]]:
    """Call the predecessor's RedisStore on the same database, in a separate process."""
    return partial(predecessor_of("redis").call, f"RedisStore(url={url!r})")


# Entries


async def test_an_entry_is_stored_as_an_envelope(store: RedisStore, raw: Any) -> None:
    before = datetime.now(timezone.utc)
    await store.put("alice", {"n": 1}, collection="users")
    envelope = json.loads(raw.get("users::alice"))
    created_at = datetime.fromisoformat(envelope.pop("created_at"))
    assert before <= created_at <= datetime.now(timezone.utc)
    assert envelope == {"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}


async def test_an_entry_with_ttl_is_stored_with_its_expiry_time(store: RedisStore, raw: Any) -> None:
    await store.put("alice", {"n": 1}, collection="users", ttl=90.5)
    envelope = json.loads(raw.get("users::alice"))
    lifetime = datetime.fromisoformat(envelope["expires_at"]) - datetime.fromisoformat(envelope["created_at"])
    assert lifetime == timedelta(seconds=90.5)


async def test_an_entry_is_stored_under_its_collection_and_key(store: RedisStore, raw: Any) -> None:
    await store.put("höme/é 🌍", {"n": 1}, collection="users")
    await store.put_many(["https://example.com/client?id=1#x"], [{"n": 1}], collection="mcp:oauth")
    await store.put("a::b", {"n": 1})
    assert set(raw.keys()) == {
        "users::höme/é 🌍".encode(),
        b"mcp:oauth::https://example.com/client?id=1#x",
        b"default_collection::a::b",
    }


async def test_ambiguous_names_are_stored_separately(store: RedisStore, raw: Any) -> None:
    await store.put("b::c", {"n": 1}, collection="a")
    await store.put("c", {"n": 2}, collection="a::b")
    assert json.loads(raw.get(AMBIGUOUS))["value"] == {"n": 1}
    assert raw.dbsize() == 2


# Expiry


@pytest.mark.parametrize("ttl", [61.9, 60.001, 90])
async def test_redis_expires_an_entry_in_milliseconds(store: RedisStore, raw: Any, ttl: float) -> None:
    start = time.time()
    await store.put("one", {"n": 1}, ttl=ttl)
    await store.put_many(["two", "three"], [{"n": 2}, {"n": 3}], ttl=ttl)
    expiries = [raw.pexpiretime(f"default_collection::{key}") / 1000 for key in ("one", "two", "three")]
    # A server reads the clock once for all the commands it has received.
    assert start + ttl - 0.2 < min(expiries) <= max(expiries) <= time.time() + ttl


async def test_a_ttl_below_a_millisecond_expires(store: RedisStore) -> None:
    await store.put("one", {"n": 1}, ttl=1e-6)
    await store.put_many(["two"], [{"n": 2}], ttl=1e-6)
    assert await store.get_many(["one", "two"]) == [None, None]


async def test_a_ttl_may_last_until_the_year_9999(store: RedisStore, raw: Any) -> None:
    remaining = datetime(9999, 12, 31, tzinfo=timezone.utc) - datetime.now(timezone.utc)
    await store.put("key", {"n": 1}, ttl=remaining.total_seconds())
    assert raw.pttl("default_collection::key") == pytest.approx(remaining.total_seconds() * 1000, abs=60_000)
    assert await store.get("key") == {"n": 1}


async def test_a_put_without_ttl_clears_the_expiry(store: RedisStore, raw: Any) -> None:
    await store.put_many(["one", "two"], [{"n": 1}, {"n": 2}], ttl=90)
    await store.put("one", {"n": 1})
    await store.put_many(["two"], [{"n": 2}])
    assert [raw.pttl("default_collection::one"), raw.pttl("default_collection::two")] == [-1, -1]


async def test_an_expiry_stored_only_in_the_envelope_is_honoured(store: RedisStore, raw: Any) -> None:
    raw.set("users::alice", '{"version": 1, "value": {"n": 1}, "expires_at": "2001-01-01T00:00:00+00:00"}')
    assert await store.get("alice", collection="users") is None


async def test_the_version_of_an_expired_entry_still_on_the_server_matches_nothing(store: RedisStore, raw: Any) -> None:
    with FakeClock() as clock:
        await store.put("key", {"n": 1}, ttl=10)
        version = (await store.get_versioned("key")).version
        assert version is not None
        clock.advance(10)
        assert await store.put_if_version("key", {"n": 2}, version) is False
        assert await store.delete_if_version("key", version) is False
        assert json.loads(raw.get("default_collection::key"))["value"] == {"n": 1}
        assert await store.put_if_version("key", {"n": 3}, None) is True


# Values stored by other applications


async def test_an_entry_with_another_collection_and_key_is_never_returned(store: RedisStore, raw: Any) -> None:
    # The predecessor stores ("a::b", "c") under the name that this store uses for ("a", "b::c").
    raw.set(AMBIGUOUS, '{"version": 1, "collection": "a::b", "key": "c", "value": {"n": 1}}')
    assert await store.get("b::c", collection="a") is None
    assert await store.get_many(["b::c"], collection="a") == [None]


async def test_a_hash_stored_under_the_name_is_an_error_and_stays(store: RedisStore, raw: Any) -> None:
    raw.hset("users::alice", "field", "text")
    with pytest.raises(KeyValueStoreError):
        await store.get("alice", collection="users")
    assert raw.hgetall("users::alice") == {b"field": b"text"}


@pytest.mark.parametrize("text", ["", "text", "[]", '{"version": 2, "value": {}}'])
async def test_a_string_that_is_not_an_entry_is_reported_as_corrupt(store: RedisStore, raw: Any, text: str) -> None:
    raw.set("users::alice", text)
    for read in (store.get("alice", collection="users"), store.get_many(["alice"], collection="users")):
        with pytest.raises(DeserializationError):
            await read


# The predecessor


@pytest.fixture
def envelopes(raw: Any, recorded: Path) -> dict[str, dict[str, Any]]:
    """Recorded envelopes of the predecessor by stored name, loaded into the server."""
    entries = json.loads((recorded / "redis.json").read_text(encoding="utf-8"))
    for name, entry in entries.items():
        raw.set(name, entry["value"], px=entry["pttl_ms"] if entry["pttl_ms"] > 0 else None)
    return {name: json.loads(entry["value"]) for name, entry in entries.items()}


async def test_recorded_entries_are_read_in_full(store: RedisStore, envelopes: dict[str, dict[str, Any]]) -> None:
    del envelopes[AMBIGUOUS]
    assert len(envelopes) == 4
    for entry in envelopes.values():
        value, remaining = await store.ttl(entry["key"], collection=entry["collection"])
        assert value == entry["value"]
        assert (remaining is None) is ("expires_at" not in entry)


async def test_recorded_entries_are_listed(store: RedisStore, envelopes: dict[str, dict[str, Any]]) -> None:
    assert len(envelopes) == 5
    assert sorted(await store.keys("users")) == ["alice", "höme/é 🌍"]
    assert await store.keys("mcp:oauth") == ["https://example.com/client?id=1#x"]


async def test_a_recorded_entry_with_ambiguous_names_is_never_returned(
    store: RedisStore, envelopes: dict[str, dict[str, Any]]
) -> None:
    assert envelopes[AMBIGUOUS]["collection"] == "a::b"
    assert await store.get("b::c", collection="a") is None


async def test_the_predecessor_reads_entries_of_this_store(
    store: RedisStore, predecessor: Callable[..., list[Any]]
) -> None:
    keys = [*VALUES, "https://example.com/a?b=1#c", "höme/é 🌍"]
    values = [*VALUES.values(), {"n": 1}, {"n": 2}]
    await store.put_many(keys, values, collection="batch")
    for key, value in zip(keys, values, strict=True):
        await store.put(key, value, collection="single:names")
    found = predecessor(*(("get_many", {"keys": keys, "collection": name}) for name in ("batch", "single:names")))
    assert found == [values, values]


async def test_this_store_reads_entries_of_the_predecessor(
    store: RedisStore, predecessor: Callable[..., list[Any]]
) -> None:
    keys, values = list(VALUES), list(VALUES.values())
    predecessor(
        ("put_many", {"keys": keys, "values": values, "collection": "batch"}),
        *(("put", {"key": key, "value": value, "collection": "single:names"}) for key, value in VALUES.items()),
        ("put", {"key": "höme/é 🌍", "value": {"n": 1}}),
    )
    assert await store.get_many(keys, collection="batch") == values
    assert await store.get_many(keys, collection="single:names") == values
    assert await store.get("höme/é 🌍") == {"n": 1}
    assert sorted(await store.keys("batch")) == sorted(keys)


async def test_the_predecessor_reads_the_ttl_of_this_store(
    store: RedisStore, predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("one", {"n": 1}, ttl=1000)
    await store.put_many(["two"], [{"n": 2}], ttl=1000)
    for value, remaining in predecessor(("ttl", {"key": "one"}), ("ttl", {"key": "two"})):
        assert value in ({"n": 1}, {"n": 2})
        assert remaining == pytest.approx(1000, abs=60)


async def test_this_store_reads_the_ttl_of_the_predecessor(
    store: RedisStore, predecessor: Callable[..., list[Any]]
) -> None:
    predecessor(
        ("put", {"key": "one", "value": {"n": 1}, "ttl": 1000}),
        ("put_many", {"keys": ["two"], "values": [{"n": 2}], "ttl": 1000}),
    )
    for value, remaining in await store.ttl_many(["one", "two"]):
        assert value in ({"n": 1}, {"n": 2})
        assert remaining == pytest.approx(1000, abs=60)


async def test_each_store_deletes_entries_of_the_other(
    store: RedisStore, raw: Any, predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("ours", {"n": 1})
    deleted = predecessor(("delete", {"key": "ours"}), ("put", {"key": "theirs", "value": {"n": 2}}))
    assert deleted[0] is True
    assert await store.delete("theirs") is True
    assert raw.dbsize() == 0
