"""Stored paths, versions, and remains of deleted and expired entries, as seen by the raw client."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.vault import VaultStore
from key_value.aio.stores.vault.names import MAX_PATH_BYTES, path_of, path_prefix, split_path
from key_value.aio.testing.clock import FakeClock
from key_value.aio.testing.names import NASTY_NAMES

from .conftest import changed

if TYPE_CHECKING:
    from .conftest import Raw

PATH = "default_collection::key"


# Paths


@pytest.mark.parametrize(
    "name", ["key", "a/b", "https:%/example.com", "a b", "ключ", "日本語", "🌍", "a?b#c", "a%2Fb", "..a", "a:b"]
)
def test_a_path_that_vault_accepts_is_unchanged_from_earlier_versions(name: str) -> None:
    assert path_of("shelf", name) == f"shelf::{name}"


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("a//b", "a/%~2Fb"),
        ("a/", "a%~2F"),
        ("a/./b", "a/%~2E/b"),
        ("a/..", "a/%~2E%~2E"),
        ("a\n", "a%~0A"),
        ("\xad", "%~C2%~AD"),
        ("\u200d", "%~E2%~80%~8D"),
        ("\U000e0041", "%~F3%~A0%~81%~81"),
        ("a%~b", "a%~25~b"),
    ],
)
def test_path_parts_that_vault_refuses_or_normalizes_are_escaped(name: str, stored: str) -> None:
    assert path_of("shelf", name) == f"shelf::{stored}"


def test_no_two_names_share_a_path() -> None:
    pairs = [(collection, key) for collection in NASTY_NAMES for key in NASTY_NAMES]
    assert len({path_of(*pair) for pair in pairs}) == len(pairs)


def test_a_path_is_split_into_its_names_unless_it_was_shortened() -> None:
    for collection in NASTY_NAMES:
        for key in NASTY_NAMES:
            path = path_of(collection, key)
            assert len(path.encode()) <= MAX_PATH_BYTES
            assert split_path(path) == (None if "%~#" in path else (collection, key))
    assert split_path(path_of("shelf", "n" * 2000)) is None


@pytest.mark.parametrize("key", [*NASTY_NAMES, "n" * 2000, "/" * 1000, "é" * 900, "a/" * 700])
def test_the_paths_of_keys_with_a_prefix_start_with_its_path_prefix(key: str) -> None:
    for length in range(min(len(key), 60) + 1):
        assert path_of("shelf", key).startswith(path_prefix("shelf", key[:length]))
    assert path_of("shelf", key).startswith(path_prefix("shelf", key))


def test_vault_accepts_every_unescaped_character(raw: Raw) -> None:
    characters = [chr(code) for code in range(1, 0x30000) if not 0xD800 <= code < 0xE000]
    kept = [each for each in characters if path_of("shelf", f"a{each}b") == f"shelf::a{each}b"]
    assert len(kept) > 90_000
    for start in range(0, len(kept), 300):
        # A refused path raises an error; an absent path is None.
        assert raw.read(f"shelf::{''.join(kept[start : start + 300])}x") is None


async def test_long_names_are_stored_and_listed(store: VaultStore, raw: Raw) -> None:
    keys = ["n" * 2000 + end for end in "ab"]
    await store.put_many(keys, [{"n": 1}, {"n": 2}], collection="c" * 3000)
    assert await store.get_many(keys, collection="c" * 3000) == [{"n": 1}, {"n": 2}]
    assert sorted(await store.keys("c" * 3000)) == keys
    assert await store.collections() == ["c" * 3000]
    assert all(len(path) == MAX_PATH_BYTES for path in raw.paths())


# Secrets


async def test_an_entry_is_an_envelope_in_one_field(store: VaultStore, raw: Raw) -> None:
    await store.put("key", {"text": "é"}, ttl=60)
    found = raw.read(PATH)
    assert found is not None
    assert list(found) == ["value"]
    envelope = json.loads(found["value"])
    assert envelope.keys() == {"version", "collection", "key", "created_at", "expires_at", "value"}
    assert (envelope["collection"], envelope["key"], envelope["value"]) == (
        "default_collection",
        "key",
        {"text": "é"},
    )


@pytest.mark.parametrize("data", [{}, {"value": 7}, {"value": None}, {"password": "hunter2"}, {"value": {"a": 1}}])
async def test_a_secret_that_is_not_an_entry_is_reported_as_corrupt(
    store: VaultStore, raw: Raw, data: dict[str, Any]
) -> None:
    raw.put(PATH, **data)
    with pytest.raises(DeserializationError) as caught:
        await store.get("key")
    assert "hunter2" not in str(caught.value)
    assert await store.keys() == []


async def test_a_secret_of_another_application_is_neither_listed_nor_destroyed(store: VaultStore, raw: Raw) -> None:
    raw.put("team/app/password", value="hunter2")
    await store.put("key", {"n": 1})
    assert await store.collections() == ["default_collection"]
    await store.destroy()
    assert raw.get("team/app/password") == "hunter2"


async def test_keys_in_directories_are_listed_in_order(store: VaultStore) -> None:
    keys = ["a", "a!", "a/b", "a/b/c", "a/b!", "a0", "b/c/d/e", "b"]
    await store.put_many(keys, [{"n": 1}] * len(keys))
    assert await store.keys() == sorted(keys)
    found: list[str] = []
    cursor = None
    while True:
        page = await store.scan(cursor=cursor, limit=1)
        found += page.keys
        cursor = page.cursor
        if cursor is None:
            break
    assert found == sorted(keys)


async def test_an_entry_of_a_megabyte_is_stored_and_a_larger_one_refused(place: dict[str, Any]) -> None:
    async with VaultStore(**place) as store:
        await store.put("key", {"text": "x" * 1_000_000})
        with pytest.raises(ValueTooLargeError):
            await store.put("key", {"text": '"' * 600_000})  # each quote takes two more bytes in JSON
        assert await store.get("key") == {"text": "x" * 1_000_000}
    larger: dict[str, Any] = changed(place, max_value_bytes=3_000_000)
    async with VaultStore(**larger) as store:
        assert store.capabilities.max_value_bytes == 3_000_000
        await store.put("key", {"text": "x" * 2_000_000})
        assert await store.get("key") == {"text": "x" * 2_000_000}


# Remains of deleted and expired entries


async def test_delete_destroys_every_version(store: VaultStore, raw: Raw) -> None:
    for number in range(5):
        await store.put("key", {"n": number})
    assert raw.read(PATH, version=4) is not None
    assert await store.delete("key") is True
    assert [raw.read(PATH, version=number) for number in range(1, 6)] == [None] * 5
    assert json.loads(raw.get(PATH) or "")["value"] == {}
    assert await store.keys() == []


async def test_deleting_an_expired_empty_entry_destroys_the_earlier_values(store: VaultStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    await store.put("key", {}, ttl=0.001)
    await asyncio.sleep(0.01)
    assert await store.delete("key") is False
    assert raw.read(PATH, version=1) is None


async def test_delete_destroys_the_remaining_versions_of_a_path_with_a_long_history(
    store: VaultStore, raw: Raw
) -> None:
    for number in range(103):
        raw.put(PATH, value=json.dumps({"version": 1, "value": {"n": number}}))
    assert await store.delete("key") is True
    assert [raw.read(PATH, version=number) for number in range(94, 104)] == [None] * 10


async def test_a_secret_soft_deleted_by_another_client_is_absent_and_destroyed_by_delete(
    store: VaultStore, raw: Raw
) -> None:
    await store.put("key", {"n": 1})
    raw.client.secrets.kv.v2.delete_latest_version_of_secret(PATH, mount_point=raw.mount_point)
    assert await store.get("key") is None
    assert await store.get_versioned("key") == (None, None, None)
    assert await store.keys() == []
    assert await store.delete("key") is False
    raw.client.secrets.kv.v2.undelete_secret_versions(PATH, [1], mount_point=raw.mount_point)
    assert await store.get("key") is None
    assert await store.put_if_absent("key", {"n": 2}) is True
    assert await store.get("key") == {"n": 2}


async def test_cull_removes_the_remains_of_deleted_and_expired_entries(store: VaultStore, raw: Raw) -> None:
    await store.put("deleted", {"n": 1})
    await store.delete("deleted")
    await store.put("expired", {"n": 1}, ttl=0.001)
    await asyncio.sleep(0.01)
    await store.cull()
    # They may be written again at this moment, and Vault cannot remove a path only if it is unchanged.
    assert sorted(raw.paths()) == ["default_collection::deleted", "default_collection::expired"]
    assert raw.read("default_collection::expired", version=1) is None
    with FakeClock() as clock:
        clock.advance(100)
        await store.cull()
    assert raw.paths() == []


# Versions


async def test_a_write_by_another_client_changes_the_version(store: VaultStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    raw.put(PATH, value=json.dumps({"version": 1, "value": {"n": 2}}))
    _, _, changed = await store.get_versioned("key")
    assert version is not None
    assert changed != version
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False
    assert await store.get("key") == {"n": 2}


async def test_a_path_removed_and_rewritten_by_another_client_has_a_new_version(store: VaultStore, raw: Raw) -> None:
    await store.put("key", {"n": 1})
    _, _, version = await store.get_versioned("key")
    assert version is not None
    raw.remove(PATH)
    assert await store.put_if_version("key", {"n": 3}, version) is False
    raw.put(PATH, value=json.dumps({"version": 1, "value": {"n": 2}}))
    assert await store.put_if_version("key", {"n": 3}, version) is False
    assert await store.delete_if_version("key", version) is False


async def test_an_entry_put_again_never_reuses_an_earlier_version(store: VaultStore) -> None:
    seen: set[str | None] = set()
    for number in range(4):
        assert await store.put_if_absent("key", {"n": number})
        _, _, version = await store.get_versioned("key")
        assert version not in seen
        seen.add(version)
        assert version is not None
        assert await store.delete_if_version("key", version)
