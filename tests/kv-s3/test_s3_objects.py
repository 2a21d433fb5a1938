"""Objects in the bucket: entries, expired entries, and objects of the predecessor and other applications."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.marks import marked
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreSetupError
from key_value.aio.stores.s3 import S3KeySanitizationStrategy, S3Store
from key_value.aio.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from predecessor import Predecessor

    from .conftest import Raw

VALUES: dict[str, dict[str, Any]] = {
    "plain": {"name": "Alice", "n": 1.5, "ok": True, "none": None, "roles": ["a", "b"]},
    "unicode": {"höme": "é 🌍 \u2028 \x00"},
    "big integers": {"positive": 2**70, "negative": -(2**70)},
    "50 KB": {"text": "x" * 50_000},
    "100%": {"n": 1},
}
PATHS: dict[str, dict[str, Any]] = {
    "höme/é 🌍": {"n": 1},
    "https://example.com/a%2Fb?id=1#x": {"n": 2},
    "../x": {"n": 3},
    ".": {"n": 4},
    "/a/": {"n": 5},
}


@pytest.fixture
async def store(place: dict[str, Any]) -> AsyncIterator[S3Store]:
    async with S3Store(**place) as store:
        yield store


@pytest.fixture
async def exact(ceph_place: dict[str, Any]) -> AsyncIterator[S3Store]:
    """A store on a server with exact names."""
    async with S3Store(**ceph_place) as store:
        yield store


# Format


async def test_an_entry_is_stored_as_an_object_in_the_documented_format(store: S3Store, raw: Raw) -> None:
    with FakeClock():
        await store.put("alice", {"n": 1}, collection="users", ttl=60)
        _, ttl = await store.ttl("alice", collection="users")
    envelope = json.loads(raw.get("users/alice") or b"")
    assert envelope.items() >= {"version": 1, "collection": "users", "key": "alice", "value": {"n": 1}}.items()
    metadata = raw.metadata("users/alice")
    assert (metadata["created-at"], metadata["expires-at"]) == (envelope["created_at"], envelope["expires_at"])
    assert raw.client.head_object(Bucket=raw.bucket, Key="users/alice")["ContentType"] == "application/json"
    assert ttl == 60


async def test_a_put_without_ttl_clears_the_expiry(store: S3Store, raw: Raw) -> None:
    await store.put("key", {"n": 1}, ttl=60)
    await store.put("key", {"n": 1})
    assert "expires-at" not in raw.metadata("default_collection/key")
    assert await store.ttl("key") == ({"n": 1}, None)


async def test_an_expired_entry_is_invisible_to_every_operation_and_culled(store: S3Store, raw: Raw) -> None:
    with FakeClock() as clock:
        await store.put_many(["one", "two"], [{}, {}], ttl=10)
        await store.put("three", {})
        await store.put("four", {}, collection="other", ttl=10)
        clock.advance(10)
        assert await store.get_many(["one", "two", "three"]) == [None, None, {}]
        assert await store.keys() == ["three"]
        assert await store.collections() == ["default_collection"]
        assert await store.delete("one") is False
        await store.cull()
    assert raw.names() == ["default_collection/three"]


async def test_an_object_without_metadata_expires_by_its_envelope(store: S3Store, raw: Raw) -> None:
    with FakeClock() as clock:
        await store.put("one", {}, ttl=10)
        raw.put("default_collection/two", raw.get("default_collection/one") or b"")
        assert await store.keys() == ["one", "two"]
        clock.advance(10)
        assert await store.keys() == []
        assert await store.delete("two") is False


async def test_an_object_that_is_not_an_entry_is_reported_as_corrupt_and_not_listed(store: S3Store, raw: Raw) -> None:
    raw.put("default_collection/page.html", b"<html>")
    with pytest.raises(DeserializationError):
        await store.get("page.html")
    assert await store.keys() == []


async def test_destroy_leaves_objects_of_other_applications_in_the_bucket(store: S3Store, raw: Raw) -> None:
    foreign = {"page.html": b"<html>", "pages/a.html": b"<html>", "pages/b.json": b'{"value": 1}', "a/b/c/d": b""}
    for name, data in foreign.items():
        raw.put(name, data)
    await store.put_many(["a", "b/c", "..", "n" * 2000], [{"n": 1}] * 4, collection="pages")
    assert await store.destroy_collection("pages") is True
    await store.put("key", {})
    assert await store.destroy() is True
    assert sorted(raw.names()) == sorted(foreign)


async def test_a_body_of_two_megabytes_is_stored_and_read(store: S3Store, exact: S3Store) -> None:
    value = {"text": "é" * 2**20}
    for each in (store, exact):
        await each.put("key", value)
        assert await each.get("key") == value


async def test_names_longer_than_the_limits_are_listed_and_distinct(store: S3Store, exact: S3Store) -> None:
    long = ["n" * 1100, "n" * 1101, "🌍" * 300]
    for each in (store, exact):
        for collection in ("c", "c" * 700):
            await each.put_many(long, [{"n": number} for number in range(3)], collection=collection)
            assert sorted(await each.keys(collection)) == sorted(long)
            assert await each.get_many(long, collection=collection) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert sorted(await each.collections()) == ["c", "c" * 700]


async def test_an_object_with_the_envelope_of_another_entry_is_ignored(store: S3Store, raw: Raw) -> None:
    await store.put("one", {"n": 1})
    raw.put("default_collection/two", raw.get("default_collection/one") or b"")
    assert await store.get("two") is None


async def test_escape_names_may_be_set_without_probing_the_server(place: dict[str, Any], raw: Raw) -> None:
    raw.create()
    store = S3Store(**place, escape_names=True)
    await store.put("a/b", {"n": 1})
    assert raw.names() == ["default_collection/a%2Fb"]
    assert await store.get("a/b") == {"n": 1}
    await store.close()


async def test_the_strategies_of_earlier_versions_shorten_names(place: dict[str, Any], raw: Raw) -> None:
    async with S3Store(**place, key_sanitization_strategy=S3KeySanitizationStrategy(100)) as store:
        await store.put("x" * 501, {"n": 1})
        assert await store.get("x" * 501) == {"n": 1}
        assert raw.names() == ["default_collection/" + "x" * 92 + "3ac31d30"]
        with pytest.raises(KeyValueStoreError):
            await store.keys()


async def test_destroying_only_expired_entries_returns_false(store: S3Store, raw: Raw) -> None:
    with FakeClock() as clock:
        await store.put("key", {}, collection="c", ttl=10)
        clock.advance(10)
        assert await store.destroy_collection("c") is False
    assert raw.names() == []


# Pages


async def test_thousands_of_entries_are_put_listed_read_and_destroyed(exact: S3Store, raw_ceph: Raw) -> None:
    keys = [f"key {number:05}" for number in range(2_500)]
    await exact.put_many(keys, [{"key": key} for key in keys])
    assert await exact.keys() == keys
    assert await exact.get_many(keys) == [{"key": key} for key in keys]
    assert await exact.destroy()
    assert raw_ceph.names() == []


async def test_a_cursor_continues_in_another_store_and_after_its_key_was_deleted(
    store: S3Store, place: dict[str, Any]
) -> None:
    await store.put_many(["a", "b", "c", "d"], [{"n": 1}] * 4)
    page = await store.scan(limit=2)
    await store.delete("b")
    async with S3Store(**place) as other:
        assert (await other.scan(cursor=page.cursor)).keys == ["c", "d"]


async def test_an_invalid_cursor_is_refused(store: S3Store) -> None:
    await store.put_many(["a", "b"], [{"n": 1}] * 2)
    cursor = (await store.scan(limit=1)).cursor
    assert cursor is not None
    with pytest.raises(ValueError, match="cursor"):
        await store.scan(cursor=cursor.replace("default_collection/a", "elsewhere/a"))


# Conditions


async def test_a_server_that_ignores_conditions_has_no_conditional_writes(exact: S3Store) -> None:
    assert not exact.capabilities.conditional_writes
    assert not exact.capabilities.atomic_delete
    for call in (
        exact.put_if_absent("key", {}),
        exact.get_versioned("key"),
        exact.put_if_version("key", {}, None),
        exact.delete_if_version("key", marked('"0123"', exact.default_collection, "key")),
    ):
        with pytest.raises(StoreSetupError, match="the server does not support If-Match and If-None-Match; use put"):
            await call
    assert await exact.keys() == []
    await exact.put("key", {})
    assert [await exact.delete("key"), await exact.delete("key")] == [True, False]


async def test_a_server_that_enforces_conditions_has_conditional_writes(store: S3Store) -> None:
    assert store.capabilities.conditional_writes
    assert store.capabilities.atomic_delete


async def test_a_plain_write_by_another_program_changes_the_version(store: S3Store, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    raw.put("default_collection/key", b'{"value": {"n": 2}, "version": 1}')
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.get("key") == {"n": 2}


async def test_exactly_one_of_many_concurrent_deletions_succeeds(store: S3Store, place: dict[str, Any]) -> None:
    async with S3Store(**place) as other:
        for _ in range(3):
            await store.put("key", {"n": 1})
            deleted = await asyncio.gather(*(each.delete("key") for each in [store, other] * 10))
            assert sum(deleted) == 1


@pytest.mark.parametrize("version", ["", "x y", '"a"\r\nX: 1', "e|tomorrow", "é"])
async def test_a_malformed_version_is_refused(store: S3Store, version: str) -> None:
    await store.put("key", {"n": 1})
    _, _, real = await store.get_versioned("key")
    assert real is not None
    with pytest.raises(ValueError, match="version"):
        await store.put_if_version("key", {"n": 2}, real.partition("-")[0] + "-" + version)


# The predecessor


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor]) -> Callable[..., list[Any]]:
    """Call the predecessor's S3Store on the same bucket, in a separate process."""

    def call(place: dict[str, Any], *calls: tuple[str, dict[str, Any]]) -> list[Any]:
        return predecessor_of("s3").call(f"S3Store(**{place})", *calls)

    return call


@pytest.mark.parametrize("server", ["folds names", "exact names"])
async def test_the_predecessor_reads_entries_of_this_store(
    request: pytest.FixtureRequest, predecessor: Callable[..., list[Any]], server: str
) -> None:
    folds = server == "folds names"
    place: dict[str, Any] = request.getfixturevalue("place" if folds else "ceph_place")
    entries = VALUES if folds else {**VALUES, **PATHS}
    keys, values = list(entries), list(entries.values())
    async with S3Store(**place) as store:
        await store.put_many(keys, values, collection="batch")
        for key, value in entries.items():
            await store.put(key, value, collection="single:names", ttl=1000)
        found = await asyncio.to_thread(
            predecessor,
            place,
            ("get_many", {"keys": keys, "collection": "batch"}),
            ("get_many", {"keys": keys, "collection": "single:names"}),
            ("ttl", {"key": "plain", "collection": "single:names"}),
            ("delete", {"key": "plain", "collection": "batch"}),
        )
        assert found[:2] == [values, values]
        assert found[2] == [VALUES["plain"], pytest.approx(1000, abs=60)]
        assert found[3] is True
        assert await store.get("plain", collection="batch") is None


@pytest.mark.parametrize("server", ["folds names", "exact names"])
async def test_this_store_reads_entries_of_the_predecessor(
    request: pytest.FixtureRequest, predecessor: Callable[..., list[Any]], server: str
) -> None:
    folds = server == "folds names"
    place: dict[str, Any] = request.getfixturevalue("place" if folds else "ceph_place")
    entries = {**VALUES, "höme/é 🌍": {"n": 1}} if folds else {**VALUES, **PATHS}
    keys, values = list(entries), list(entries.values())
    await asyncio.to_thread(
        predecessor,
        place,
        ("put_many", {"keys": keys, "values": values, "collection": "batch", "ttl": 1000}),
        *(("put", {"key": key, "value": value, "collection": "single:names"}) for key, value in entries.items()),
    )
    async with S3Store(**place) as store:
        assert [value for value, _ in await store.ttl_many(keys, collection="batch")] == values
        ttls = [ttl for _, ttl in await store.ttl_many(keys, collection="batch")]
        assert ttls == [pytest.approx(1000, abs=60)] * len(keys)
        assert await store.get_many(keys, collection="single:names") == values
        assert sorted(await store.keys("batch")) == sorted(keys)
        assert sorted(await store.collections()) == ["batch", "single:names"]
        assert await store.delete_many(keys, collection="batch") == len(keys)
        assert await store.destroy_collection("single:names") is True
        assert await store.collections() == []


async def test_a_write_by_the_predecessor_changes_the_version(
    store: S3Store, place: dict[str, Any], predecessor: Callable[..., list[Any]]
) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    await asyncio.to_thread(predecessor, place, ("put", {"key": "key", "value": {"n": 1}}))
    assert await store.put_if_version("key", {"n": 2}, version) is False
    _, _, version = await store.get_versioned("key")
    assert await store.put_if_version("key", {"n": 2}, version) is True


async def test_an_entry_under_its_older_name_is_a_normal_entry(store: S3Store, raw: Raw) -> None:
    """Use a server that folds names; `raw` writes objects like the predecessor's."""
    text = b'{"created_at": "2026-11-23T09:03:14.464348+00:00", "value": {"n": 1}, "version": 1}'

    def write() -> None:
        raw.put("c/a/b", text, Metadata={"created-at": "2026-11-23T09:03:14.464348+00:00"})

    write()
    assert await store.get("a/b", collection="c") == {"n": 1}
    assert await store.keys("c") == ["a/b"]
    assert await store.delete("a/b", collection="c") is True
    assert raw.names() == []
    write()
    await store.put("a/b", {"n": 2}, collection="c")
    assert await store.get("a/b", collection="c") == {"n": 2}
    assert raw.names() == ["c/a%2Fb"]
    await store.delete("a/b", collection="c")
    write()
    assert await store.put_if_absent("a/b", {"n": 3}, collection="c") is False
    value, _, version = await store.get_versioned("a/b", collection="c")
    assert value == {"n": 1}
    assert await store.put_if_version("a/b", {"n": 4}, version, collection="c") is True
    assert raw.names() == ["c/a%2Fb"]
