"""Stored names, expiry and format v1, as read and written by a raw connection and the predecessor."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.memcached import MemcachedStore, MemcachedV1KeySanitizationStrategy
from key_value.aio.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

VALUES: dict[str, dict[str, Any]] = {
    "plain": {"name": "Alice", "n": 1.5, "ok": True, "none": None, "roles": ["a", "b"]},
    "unicode": {"höme": "é 🌍 \u2028 \x00"},
    "big integers": {"positive": 2**70, "negative": -(2**70), "unsigned": 2**64 - 1},
    "lines": {"text": "\r\nEND\r\nVALUE x 0 1\r\n"},
    "50 KB": {"text": "x" * 50_000},
}

MIB = 1024 * 1024
DAY = 86_400
# Item header, CAS number, terminators of name and data, and the longest name.
OVERHEAD = 48 + 8 + 1 + 2 + 250


@pytest.fixture
async def v1_store(raw: Any) -> AsyncIterator[MemcachedStore]:
    host, port = raw.address
    strategy = MemcachedV1KeySanitizationStrategy()
    async with MemcachedStore(host=host, port=port, key_sanitization_strategy=strategy) as store:
        yield store


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], raw: Any) -> Callable[..., list[Any]]:
    """Call the predecessor's MemcachedStore on the same server, in a separate process."""
    host, port = raw.address

    def call(*calls: tuple[str, dict[str, Any]], v1: bool = False) -> list[Any]:
        strategy = "MemcachedV1KeySanitizationStrategy()" if v1 else None
        store = f"MemcachedStore(host={host!r}, port={port}, key_sanitization_strategy={strategy})"
        return predecessor_of("memcached").call(store, *calls)

    return call


# Names


async def test_a_name_that_the_server_accepts_is_stored_unchanged(store: MemcachedStore, raw: Any) -> None:
    for key in ("ada", "a%20b", "%~", "https://example.com/a%2Fb?c=1#d", "é🌍", "H_x", "::x", "k" * 243):
        await store.put(key, {"key": key}, collection="users")
        assert json.loads(raw.get(f"users::{key}"))["value"] == {"key": key}


@pytest.mark.parametrize(
    ("collection", "key", "name"),
    [
        ("users", "a b", ":::users::a%20b"),
        ("users", "a%20b c", ":::users::a%2520b%20c"),
        ("users", "a\r\nb", ":::users::a%0D%0Ab"),
        ("users", "a\u00a0b", ":::users::a%C2%A0b"),
        ("a b", "c", ":::a%20b::c"),
        ("a:: b", "c", ":::::a%253A%253A%20b::c"),
    ],
)
async def test_a_name_with_characters_that_the_server_refuses_is_escaped(
    store: MemcachedStore, raw: Any, collection: str, key: str, name: str
) -> None:
    await store.put(key, {"n": 1}, collection=collection)
    assert json.loads(raw.get(name))["key"] == key


async def test_a_long_name_is_cut_and_hashed_and_a_colliding_entry_is_ignored(store: MemcachedStore, raw: Any) -> None:
    await store.put("k" * 300, {"n": 1}, collection="users")
    (name,) = raw.names()
    assert name.startswith("%3A%3A%3Ausers%3A%3Akkk")
    stored = raw.get(name.replace("%3A", ":").replace("%25", "%"))
    raw.set(name.replace("%3A", ":").replace("%25", "%"), stored.replace(b"kkk", b"kkj"))
    assert await store.get("k" * 300, collection="users") is None
    assert await store.get_many(["k" * 300], collection="users") == [None]
    assert await store.put_if_absent("k" * 300, {"n": 2}, collection="users")


async def test_no_two_names_collide(store: MemcachedStore) -> None:
    names = ["a b", "a%20b", "a%2520b", "a\tb", "a%09b", "k" * 300, "k" * 301, "é" * 130, "é" * 131, "%", "%~", " "]
    pairs = [(collection, key) for collection in ("c", "c ", "c::", "::c", ":::c", "c:::") for key in names]
    for collection, key in pairs:
        await store.put(key, {"names": [collection, key]}, collection=collection)
    for collection, key in pairs:
        assert await store.get(key, collection=collection) == {"names": [collection, key]}


async def test_the_earlier_strategy_hashes_joined_names_of_over_240_characters(
    v1_store: MemcachedStore, raw: Any
) -> None:
    await v1_store.put("k" * 237, {"n": 1}, collection="u")
    await v1_store.put("k" * 238, {"n": 2}, collection="u")
    assert sorted(raw.names()) == [
        "H_39d7745bbd06f8de6ed70865801e110ea787ba4c5140cea5b79b6692dd40dc05",
        "u%3A%3A" + "k" * 237,
    ]


# Expiry


@pytest.mark.parametrize(
    ("ttl", "seconds"), [(0.001, 1), (0.5, 1), (1, 1), (1.9, 2), (60, 60), (30 * DAY - 1.5, 30 * DAY - 1)]
)
async def test_a_ttl_is_rounded_up_to_seconds_plus_one_tick_of_the_server_clock(
    store: MemcachedStore, raw: Any, ttl: float, seconds: int
) -> None:
    async def expiry_between() -> tuple[int, int | None, int]:
        before = raw.statistics()["time"]
        await store.put("key", {"n": 1}, ttl=ttl)
        return before, raw.names().get("default_collection%3A%3Akey"), raw.statistics()["time"]

    # The store's clock stands still; only the server's moves.
    with FakeClock():
        before, expiry, after = await expiry_between()
        while expiry is None:  # expired, because the machine was busy for seconds in between
            before, expiry, after = await expiry_between()
    assert before + seconds + 1 <= expiry <= after + seconds + 1


@pytest.mark.parametrize("ttl", [30 * DAY - 0.5, 30 * DAY, 31 * DAY, 365 * DAY])
async def test_a_ttl_of_about_30_days_or_more_is_not_taken_as_a_past_date(
    store: MemcachedStore, raw: Any, ttl: float
) -> None:
    start = time.time()
    await store.put("key", {"n": 1}, ttl=ttl)
    await store.put_many(["other"], [{"n": 1}], ttl=ttl)
    assert await store.get_many(["key", "other"]) == [{"n": 1}, {"n": 1}]
    for expiry in raw.names().values():
        assert start + ttl - 1 <= expiry <= time.time() + ttl + 3605


@pytest.mark.parametrize("years", [20, 100, 7000])
async def test_a_ttl_beyond_the_server_range_is_stored_without_server_expiry(
    store: MemcachedStore, raw: Any, years: int
) -> None:
    await store.put("key", {"n": 1}, ttl=years * 365 * DAY)
    assert raw.names() == {"default_collection%3A%3Akey": -1}
    assert await store.get("key") == {"n": 1}


async def test_an_entry_with_a_ttl_of_one_second_is_not_expired_early_by_the_server_clock(
    store: MemcachedStore,
) -> None:
    async def is_there_near_the_end(phase: float) -> bool:
        await asyncio.sleep(phase)
        start = time.monotonic()
        await store.put(f"key {phase}", {"n": 1}, ttl=1)
        await asyncio.sleep(0.9)
        found = await store.get(f"key {phase}")
        return found is not None or time.monotonic() >= start + 1

    # The server clock counts whole seconds: for one of these entries it ticks just before the end.
    assert all(await asyncio.gather(*(is_there_near_the_end(phase / 10) for phase in range(10))))


async def test_an_entry_expired_by_the_store_clock_is_treated_as_absent(store: MemcachedStore) -> None:
    with FakeClock() as clock:
        await store.put("key", {"n": 1}, ttl=100)
        version = (await store.get_versioned("key")).version
        clock.advance(101)
        assert version is not None
        assert not await store.put_if_version("key", {"n": 2}, version)
        assert not await store.delete_if_version("key", version)
        assert await store.put_if_absent("key", {"n": 3})
        assert not await store.put_if_absent("key", {"n": 4})
        assert await store.get("key") == {"n": 3}


# Sizes


async def test_the_largest_entry_is_stored_and_a_larger_one_refused_before_it_is_sent(
    store: MemcachedStore, raw: Any
) -> None:
    key = "k" * (250 - len("users::"))
    await store.put(key, {"text": ""}, collection="users")
    room = MIB - OVERHEAD - len(raw.get(f"users::{key}"))
    await store.put(key, {"text": "x" * (room - 1)}, collection="users")
    assert len(raw.get(f"users::{key}")) == MIB - OVERHEAD - 1
    sets = raw.statistics()["cmd_set"]
    for call in (
        store.put(key, {"text": "y" * (room + 100)}, collection="users"),
        store.put_many(["other", key], [{}, {"text": "y" * (room + 100)}], collection="users"),
        store.put_if_absent("absent", {"text": "y" * MIB}, collection="users"),
    ):
        with pytest.raises(ValueTooLargeError):
            await call
    assert raw.statistics()["cmd_set"] == sets
    assert await store.get(key, collection="users") == {"text": "x" * (room - 1)}
    assert await store.get("other", collection="users") is None


# Versions


async def test_a_write_by_another_client_changes_the_version(store: MemcachedStore, raw: Any) -> None:
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version
    text = raw.get("default_collection::key")
    # Even if the value is equal.
    raw.set("default_collection::key", text)
    assert version is not None
    assert not await store.put_if_version("key", {"n": 2}, version)
    assert not await store.delete_if_version("key", version)
    assert raw.get("default_collection::key") == text


async def test_an_entry_deleted_by_version_is_absent_for_other_clients(store: MemcachedStore, raw: Any) -> None:
    await store.put("key", {"n": 1})
    version = (await store.get_versioned("key")).version
    assert version is not None
    assert await store.delete_if_version("key", version)
    assert raw.get("default_collection::key") is None
    assert raw.ask("add default_collection::key 0 0 1\r\nx") == "STORED"


# Other data


async def test_an_item_of_another_application_is_reported_as_corrupt(store: MemcachedStore, raw: Any) -> None:
    raw.set("default_collection::key", b"text")
    for call in (store.get("key"), store.get_many(["key"]), store.get_versioned("key"), store.put_if_absent("key", {})):
        with pytest.raises(DeserializationError):
            await call
    assert await store.delete("key")


# The predecessor


@pytest.mark.parametrize("v1", [False, True], ids=["plain", "v1 names"])
async def test_the_predecessor_reads_entries_of_this_store(
    store: MemcachedStore, v1_store: MemcachedStore, predecessor: Callable[..., list[Any]], *, v1: bool
) -> None:
    own = v1_store if v1 else store
    keys = ["ada", "a%20b", "é" * 5, *(["k" * 300] if v1 else [])]
    for key in keys:
        await own.put(key, VALUES["plain"], collection="mcp:oauth", ttl=40 * DAY)
    await own.put_many(list(VALUES), list(VALUES.values()), collection="many", ttl=1000.5)
    many = [name for name in VALUES if " " not in name]
    answers = predecessor(
        *(("get", {"key": key, "collection": "mcp:oauth"}) for key in keys),
        ("ttl_many", {"keys": many, "collection": "many"}),
        v1=v1,
    )
    assert answers[:-1] == [VALUES["plain"]] * len(keys)
    for name, (value, ttl) in zip(many, answers[-1], strict=True):
        assert value == VALUES[name]
        assert timedelta(seconds=900) < timedelta(seconds=ttl) <= timedelta(seconds=1000.5)


@pytest.mark.parametrize("v1", [False, True], ids=["plain", "v1 names"])
async def test_this_store_reads_entries_of_the_predecessor(
    store: MemcachedStore, v1_store: MemcachedStore, predecessor: Callable[..., list[Any]], *, v1: bool
) -> None:
    own = v1_store if v1 else store
    keys = ["ada", "a%20b", "é" * 5, *(["k" * 300] if v1 else [])]
    many = [name for name in VALUES if " " not in name]
    predecessor(
        *(("put", {"key": key, "value": VALUES["plain"], "collection": "mcp:oauth", "ttl": 40 * DAY}) for key in keys),
        ("put_many", {"keys": many, "values": [VALUES[name] for name in many], "collection": "many"}),
        v1=v1,
    )
    for key in keys:
        value, ttl = await own.ttl(key, collection="mcp:oauth")
        assert value == VALUES["plain"]
        assert ttl is not None
        assert 40 * DAY - 100 < ttl <= 40 * DAY
    assert await own.get_many(many, collection="many") == [VALUES[name] for name in many]
    assert await own.delete_many(keys, collection="mcp:oauth") == len(keys)
    (answer,) = predecessor(("get_many", {"keys": keys, "collection": "mcp:oauth"}), v1=v1)
    assert answer == [None] * len(keys)


async def test_a_write_by_the_predecessor_changes_the_version(
    store: MemcachedStore, predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("key", {"n": 1}, collection="shelf")
    version = (await store.get_versioned("key", collection="shelf")).version
    predecessor(("put", {"key": "key", "value": {"n": 1}, "collection": "shelf"}))
    assert version is not None
    assert not await store.put_if_version("key", {"n": 2}, version, collection="shelf")


async def test_an_entry_under_an_ambiguous_name_is_invisible_to_other_names(
    store: MemcachedStore, predecessor: Callable[..., list[Any]]
) -> None:
    predecessor(("put", {"key": "c", "value": {"secret": True}, "collection": "a::b"}))
    assert await store.get("b::c", collection="a") is None
    assert await store.put_if_absent("b::c", {"n": 1}, collection="a")
    assert await store.get("b::c", collection="a") == {"n": 1}
