"""Records, names, expiry and sizes of an AerospikeStore, as seen by the raw client."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.codec import encode_value
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.envelope import dump_entry
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreSetupError, ValueTooLargeError
from key_value.aio.stores.aerospike import AerospikeStore
from key_value.aio.stores.aerospike.names import original_names, stored_names, stored_prefix
from key_value.aio.testing.contract import eventually
from servers.aerospike import AerospikeServer

from .conftest import CONNECTING, Driver, Raw

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RunServer

YEAR = 365 * 24 * 60 * 60
NEVER = 2**32 - 1


def store_of(server: AerospikeServer, **options: Any) -> AerospikeStore:
    limits: dict[str, Any] = {"timeout": 60.0, "client_config": CONNECTING}
    return AerospikeStore(hosts=[(server.host, server.port)], **limits, **options)


# Records


async def test_an_entry_is_an_envelope_in_a_bin_under_collection_and_key(store: AerospikeStore, raw: Raw) -> None:
    await store.put("ada", {"name": "Ada", "é": ["🌍", None]}, collection="users", ttl=100)
    bins = raw.bins("users::ada")
    assert bins is not None
    assert list(bins) == ["value"]
    envelope = json.loads(bins["value"])
    assert envelope.keys() == {"version", "collection", "key", "created_at", "expires_at", "value"}
    assert (envelope["version"], envelope["collection"], envelope["key"]) == (1, "users", "ada")
    assert envelope["value"] == {"name": "Ada", "é": ["🌍", None]}


async def test_a_put_removes_bins_of_other_applications(store: AerospikeStore, raw: Raw) -> None:
    raw.put("users::ada", {"value": "text", "other": 1})
    await store.put("ada", {"n": 1}, collection="users")
    assert list(raw.bins("users::ada") or ()) == ["value"]


async def test_the_key_stored_with_a_record_survives_writes_by_other_applications(
    store: AerospikeStore, raw: Raw
) -> None:
    await store.put("ada", {"n": 1}, collection="users")
    await store.put_many(["eve"], [{"n": 1}], collection="users")
    assert sorted(map(str, raw.names())) == ["users::ada", "users::eve"]
    bins = raw.bins("users::ada")
    assert bins is not None
    raw.put("users::ada", bins)
    assert sorted(map(str, raw.names())) == ["users::ada", "users::eve"]
    assert sorted(await store.keys("users")) == ["ada", "eve"]


async def test_an_entry_without_a_stored_key_is_listed_and_gets_a_key_on_the_next_put(
    store: AerospikeStore, raw: Raw
) -> None:
    envelope = {"collection": "users", "key": "ada", "value": {"n": 1}, "version": 1}
    raw.put("users::ada", {"value": json.dumps(envelope)})
    raw.put("users::moved", {"value": json.dumps(envelope)})
    raw.put("users::corrupt", {"value": "text"})
    raw.put("users::number", {"value": 5})
    await store.put("eve", {"n": 1}, collection="users")
    assert raw.names().count(None) == 4
    assert sorted(await store.keys("users")) == ["ada", "eve"]
    assert (await store.scan("users", prefix="a")).keys == ["ada"]
    assert await store.keys("others") == []
    assert await store.collections() == ["users"]
    await store.put("ada", {"n": 2}, collection="users")
    assert raw.names().count(None) == 3
    assert await store.destroy_collection("users") is True
    assert len(raw.names()) == 3


@pytest.mark.parametrize("stored", [b"\xff\xfe", 5, ["text"], "text", '{"value": 1}'])
async def test_a_bin_without_a_valid_entry_is_corrupt(store: AerospikeStore, raw: Raw, stored: object) -> None:
    raw.put("users::ada", {"value": stored})
    with pytest.raises(DeserializationError):
        await store.get("ada", collection="users")
    with pytest.raises(DeserializationError):
        await store.get_many(["ada"], collection="users")
    with pytest.raises(DeserializationError):
        await store.get_versioned("ada", collection="users")


async def test_a_record_without_the_bin_is_corrupt(store: AerospikeStore, raw: Raw) -> None:
    raw.put("users::ada", {"other": "text"})
    with pytest.raises(DeserializationError):
        await store.get("ada", collection="users")


# Names


NAMES = ["plain", "a\0b", "a", "a\uffff0b", "\0", "\uffff", "\uffff0", "\uffff1", "a::b", "é\0🌍", "n" * 65_536]


def test_names_are_stored_unambiguously_and_restored() -> None:
    pairs = [(collection, key) for collection in NAMES[:-1] for key in NAMES]
    stored = {stored_names(collection, [key])[0]: (collection, key) for collection, key in pairs}
    assert len(stored) == len(pairs)
    assert {name: original_names(name) for name in stored} == stored
    assert [name for name in stored if "\0" in name] == []


@pytest.mark.parametrize("prefix", ["a", "a\0", "\0", "\uffff", "a\uffff", "a\uffff0", "é\0"])
def test_exactly_the_names_with_a_prefix_are_stored_with_its_stored_prefix(prefix: str) -> None:
    stored = stored_prefix("shelf", prefix)
    for name in NAMES:
        assert stored_names("shelf", [name])[0].startswith(stored) == name.startswith(prefix)


def test_a_stored_name_that_this_store_never_writes_has_no_original() -> None:
    for name in ("text", "::", "users::", "::users", "users::a\uffff", "users::a\uffff2", "users::a\uffff0\0"):
        assert original_names(name) is None


async def test_a_name_with_nul_and_its_part_before_the_nul_are_different_records(
    store: AerospikeStore, raw: Raw
) -> None:
    # The C client truncates a key at a NUL.
    await store.put("a\0b", {"n": 1}, collection="shelf")
    await store.put("a", {"n": 2}, collection="shelf")
    assert await store.get_many(["a\0b", "a\0c", "a"], collection="shelf") == [{"n": 1}, None, {"n": 2}]
    assert sorted(map(str, raw.names())) == ["shelf::a", "shelf::a\uffff0b"]


# Expiry


@pytest.mark.parametrize(("ttl", "seconds"), [(100, 100), (99.1, 100), (0.2, 1), (10 * YEAR - 1, 10 * YEAR - 1)])
async def test_aerospike_expires_an_entry_at_the_next_whole_second(
    store: AerospikeStore, raw: Raw, ttl: float, seconds: int
) -> None:
    lives: set[int] = set()
    for _ in range(20):  # until both writes fall within one second
        start = int(time.time())
        await store.put("one", {"n": 1}, collection="shelf", ttl=ttl)
        await store.put_many(["two"], [{"n": 1}], collection="shelf", ttl=ttl)
        with suppress(Driver.exception.RecordNotFound):  # it expired while the machine stalled
            lives = {raw.meta(f"shelf::{key}")["ttl"] for key in ("one", "two")}
        if int(time.time()) == start:
            break
    assert lives == {seconds}


async def test_an_entry_without_a_ttl_never_expires_whatever_the_namespace_default(run_server: RunServer) -> None:
    with run_server(AerospikeServer("--default-ttl", "100")) as server:
        async with store_of(server) as store:
            await store.put("one", {"n": 1}, ttl=50)
            await store.put("one", {"n": 1})
            await store.put_many(["two"], [{"n": 1}])
        raw = Raw(server.url, "kv-store")
        assert {raw.meta(f"default_collection::{key}")["ttl"] for key in ("one", "two")} == {NEVER}
        raw.close()


async def test_a_ttl_beyond_ten_years_is_enforced_by_the_store_alone(store: AerospikeStore, raw: Raw) -> None:
    await store.put("one", {"n": 1}, collection="shelf", ttl=11 * YEAR)
    await store.put_many(["two"], [{"n": 1}], collection="shelf", ttl=7000 * YEAR)
    assert {raw.meta(f"shelf::{key}")["ttl"] for key in ("one", "two")} == {NEVER}
    assert (await store.ttl("one", collection="shelf"))[1] == pytest.approx(11 * YEAR, abs=60)


async def test_aerospike_removes_expired_entries(store: AerospikeStore, raw: Raw) -> None:
    await store.put("one", {"n": 1}, collection="shelf", ttl=0.1)

    async def removed() -> bool:
        return raw.bins("shelf::one") is None

    assert await eventually(removed, within=60)


async def test_a_namespace_that_refuses_a_ttl_is_reported_with_the_settings_to_change(run_server: RunServer) -> None:
    with run_server(AerospikeServer("--nsup-period", "0")) as server:
        async with store_of(server) as store:
            await store.put("key", {"n": 1})
            for call in (
                lambda: store.put("key", {"n": 2}, ttl=5),
                lambda: store.put_many(["key"], [{"n": 2}], ttl=5),
                lambda: store.put_if_absent("absent", {"n": 2}, ttl=5),
            ):
                with pytest.raises(StoreSetupError, match=r"nsup-period.*allow-ttl-without-nsup"):
                    await call()
            assert await store.get("key") == {"n": 1}


# Sizes


async def test_the_largest_entry_fits_and_one_more_byte_is_refused_before_it_is_sent(
    store: AerospikeStore, requests_made: Callable[[], dict[str, int]]
) -> None:
    await store.put("key", {"text": ""})
    stored = await store.get_versioned("key")
    assert stored.version is not None
    # Overhead of the record: 256 bytes, and the name.
    rest = 1024 * 1024 - 256 - len("default_collection::key") - len(envelope_of("key"))
    requests_made()
    await store.put("key", {"text": "x" * rest})
    assert requests_made() == {"client_write_success": 1}
    for call in (
        store.put("key", {"text": "x" * (rest + 1)}),
        store.put_many(["other", "key"], [{"n": 1}, {"text": "x" * (rest + 1)}]),
        store.put_if_absent("key", {"text": "x" * (rest + 1)}),
        store.put_if_version("key", {"text": "x" * (rest + 1)}, stored.version),
    ):
        with pytest.raises(ValueTooLargeError):
            await call
    assert requests_made() == {}
    assert await store.get("key") == {"text": "x" * rest}


def envelope_of(key: str) -> bytes:
    created_at = datetime(2026, 1, 1, 1, 1, 1, 123456, tzinfo=timezone.utc)
    value = encode_value({"text": ""})
    return dump_entry(ManagedEntry.from_encoded(value, created_at, None, key, "default_collection"))


async def test_a_record_above_the_namespace_limit_is_an_error_that_names_max_record_bytes(
    run_server: RunServer,
) -> None:
    with run_server(AerospikeServer("--max-record-size", "65536")) as server:
        async with store_of(server) as store, store_of(server, max_record_bytes=65_536) as limited:
            for put in (
                lambda: store.put("key", {"text": "x" * 70_000}),
                lambda: store.put_many(["key"], [{"text": "x" * 70_000}]),
            ):
                with pytest.raises(KeyValueStoreError, match="max_record_bytes"):
                    await put()
            with pytest.raises(ValueTooLargeError):
                await limited.put("key", {"text": "x" * 70_000})


# Destroying


async def test_destroy_empties_only_the_set_of_the_store(store: AerospikeStore, raw: Raw) -> None:
    others = ("kv-test-2", "kv-tes", "kv")
    for name in others:
        raw.put("shelf::a", {"value": "text"}, name)
    await store.put("a", {"n": 1}, collection="shelf")
    raw.put("shelf::b", {"value": "text"})
    assert await store.destroy() is True
    assert raw.names() == []
    for name in others:
        assert raw.bins("shelf::a", name) == {"value": "text"}
        raw.truncate(name)
    # Truncation compares the time of the last write.
    await store.put("a", {"n": 2}, collection="shelf")
    assert await store.get("a", collection="shelf") == {"n": 2}


async def test_sets_of_one_namespace_are_separate_stores(store: AerospikeStore, raw: Raw) -> None:
    async with AerospikeStore(**raw.options_with(set_name="kv-test-2")) as other:
        await store.put("a", {"n": 1})
        assert await other.get("a") is None
        assert await other.keys() == []
        await other.put("a", {"n": 2})
        assert await store.get("a") == {"n": 1}
        await other.destroy()
        assert await store.get("a") == {"n": 1}
