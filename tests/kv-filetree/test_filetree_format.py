"""The stored format, read without the store, and trees written by py-key-value-aio."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.testing import FakeClock

ROOT = Path(__file__).resolve().parents[2]

LONG = "n" * 300


def load(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def files_in(tree: Path) -> set[str]:
    """Return every file and directory, relative to the tree."""
    return {path.relative_to(tree).as_posix() for path in tree.rglob("*")}


def modes_in(tree: Path) -> dict[str, str]:
    return {name: oct(stat.S_IMODE((tree / name).stat().st_mode)) for name in files_in(tree)}


def find(tree: Path, pattern: str) -> Path:
    (path,) = tree.glob(pattern)
    return path


def v1_store(tree: Path) -> FileTreeStore:
    return FileTreeStore(
        data_directory=tree,
        key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(tree),
        collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(tree),
    )


def put_as_before(tree: Path, path: str, number: int) -> None:
    """Write {"n": number} as py-key-value-aio 0.5.0 does."""
    file = tree / path
    file.parent.mkdir(exist_ok=True)
    entry = {"created_at": "2026-11-23T09:03:14.747910+00:00", "value": {"n": number}, "version": 1}
    file.write_text(json.dumps(entry, sort_keys=True))


# Written files


async def test_an_entry_is_one_readable_file(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put("ada", {"name": "Ada é", "tags": [1, None]}, collection="users", ttl=3600)
    entry = load(tmp_path / "users" / "ada.json")
    created_at, expires_at = (datetime.fromisoformat(entry.pop(name)) for name in ("created_at", "expires_at"))
    assert entry == {"version": 1, "value": {"name": "Ada é", "tags": [1, None]}}
    assert (expires_at - created_at).total_seconds() == 3600
    assert created_at.tzinfo is not None


@pytest.mark.parametrize(("collection", "key"), [("users", "a/b"), ("a/b", "ada"), ("users", LONG)])
async def test_an_entry_contains_names_that_its_path_does_not_spell(tmp_path: Path, collection: str, key: str) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put(key, {"n": 1}, collection=collection)
    file = find(tmp_path, "*/*.json")
    assert (load(file)["collection"], load(file)["key"]) == (collection, key)


async def test_information_about_a_collection_is_in_the_metadata_directory(tmp_path: Path) -> None:
    data, metadata = tmp_path / "data", tmp_path / "metadata"
    async with FileTreeStore(data_directory=data, metadata_directory=metadata) as store:
        await store.put("ada", {"n": 1}, collection="a/b")
    assert files_in(data) == {"a%2Fb", "a%2Fb/ada.json"}
    info = load(metadata / "a%2Fb-info.json")
    assert datetime.fromisoformat(info.pop("created_at")).tzinfo is not None
    assert info == {"collection": "a/b", "directory": str(data / "a%2Fb"), "version": 1}


async def test_files_and_directories_are_private_to_the_user(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        tree = tmp_path / "above" / "tree"
        async with FileTreeStore(data_directory=tree, fsync=True) as store:
            await store.put("ada", {"n": 1}, collection="users")
    finally:
        os.umask(old)
    assert modes_in(tmp_path) == {
        "above": "0o700",
        "above/tree": "0o700",
        "above/tree/users": "0o700",
        "above/tree/users/ada.json": "0o600",
        "above/tree/users-info.json": "0o600",
    }


async def test_a_tree_contains_only_entries_and_information(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        for number in range(3):
            await store.put("ada", {"n": number}, collection="users")
            await store.put_many(["ada", "bob"], [{"n": number}] * 2, collection="users")
        await store.delete("bob", collection="users")
    assert files_in(tmp_path) == {
        "users",
        "users/ada.json",
        "users-info.json",
    }


async def test_destroying_leaves_an_empty_directory(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        for collection in ("users", "a/b", LONG):
            await store.put_many(["ada", "a/b", LONG], [{"n": 1}] * 3, collection=collection)
        await store.destroy_collection("users")
        assert not (tmp_path / "users").exists()
        assert not (tmp_path / "users-info.json").exists()
        (tmp_path / "gone-info.json").write_text('{"collection": "gone", "directory": "/gone", "version": 1}')
        await store.destroy()
        assert files_in(tmp_path) == set()


# Trees written by py-key-value-aio


async def test_recorded_entries_are_read_with_the_v1_strategies(recorded: Path) -> None:
    async with v1_store(recorded / "filetree") as store:
        assert await store.get("alice", collection="users") == {
            "n": 1.5,
            "name": "Alice",
            "none": None,
            "ok": True,
            "roles": ["a", "b"],
        }
        assert await store.get("höme/é 🌍", collection="users") == {
            "nested": {"a": [1, {"b": 2}]},
            "v": "unicode ✓",
        }
        value, remaining = await store.ttl("https://example.com/client?id=1#x", collection="mcp:oauth")
        assert value == {"token": "t"}
        assert remaining is not None
        assert await store.get("c", collection="a::b") == {"who": "collection a::b, key c"}
        assert await store.get("blob", collection="big") == {"text": "x" * 40_000}
        assert sorted(await store.collections()) == ["a::b", "big", "mcp:oauth", "users"]
        assert await store.keys("big") == ["blob"]


async def test_recorded_entries_are_read_without_strategies(recorded: Path) -> None:
    async with FileTreeStore(data_directory=recorded / "filetree_plain") as store:
        assert await store.get("alice", collection="users") == {"name": "Alice"}
        value, remaining = await store.ttl("bob", collection="users")
        assert (value, remaining is not None) == ({"name": "Bob"}, True)
        assert sorted(await store.keys("users")) == ["alice", "bob"]
        assert await store.collections() == ["users"]


async def test_a_recorded_tree_can_be_emptied(recorded: Path) -> None:
    async with v1_store(recorded / "filetree") as store:
        assert await store.delete("höme/é 🌍", collection="users") is True
        assert await store.destroy_collection("mcp:oauth") is True
        await store.destroy()
    assert files_in(recorded / "filetree") == set()


async def test_the_directory_named_in_information_is_ignored(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path / "old") as store:
        await store.put("ada", {"n": 1}, collection="users")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    async with FileTreeStore(data_directory=tmp_path / "new") as store:
        await store.put("ada", {"n": 2}, collection="users")
        await store.destroy()
    assert load(tmp_path / "old" / "users" / "ada.json")["value"] == {"n": 1}
    assert files_in(tmp_path / "new") == set()


@pytest.mark.parametrize("portable", [False, True])
@pytest.mark.parametrize("key", ["alice", "Alice", "a:b", ".hidden", "a\\b", "a%2Fb", "é", "CON"])
async def test_an_entry_under_a_name_that_is_now_escaped_is_found(
    tmp_path: Path,
    key: str,
    portable: bool,  # noqa: FBT001
) -> None:
    put_as_before(tmp_path, f"Users/{key}.json", 1)
    async with FileTreeStore(data_directory=tmp_path, portable_names=portable) as store:
        assert await store.get(key, collection="Users") == {"n": 1}
        assert await store.get_many(["absent", key], collection="Users") == [None, {"n": 1}]
        assert await store.keys("Users") == [key]
        assert await store.collections() == ["Users"]
        await store.put(key, {"n": 2}, collection="Users")
        assert await store.get(key, collection="Users") == {"n": 2}
        assert await store.keys("Users") == [key]
        assert await store.delete(key, collection="Users") is True
        assert await store.get(key, collection="Users") is None
        put_as_before(tmp_path, f"Users/{key}.json", 3)
        assert await store.destroy_collection("Users") is True
        assert await store.keys("Users") == []


async def test_an_entry_under_a_name_that_looks_escaped_is_not_found_by_the_unescaped_name(tmp_path: Path) -> None:
    put_as_before(tmp_path, "users/a%2Fb.json", 1)
    async with FileTreeStore(data_directory=tmp_path) as store:
        assert await store.get("a/b", collection="users") is None
        assert await store.delete("a/b", collection="users") is False
        assert await store.get("a%2Fb", collection="users") == {"n": 1}


async def test_an_entry_without_its_names_is_read_with_the_v1_strategies(tmp_path: Path) -> None:
    put_as_before(tmp_path, "users/S_a_b-c14cddc0.json", 1)
    async with v1_store(tmp_path) as store:
        assert await store.get("a/b", collection="users") == {"n": 1}
        await store.put("a/b", {"n": 2}, collection="users")
    entry = load(tmp_path / "users" / "S_a_b-c14cddc0.json")
    assert (entry["key"], entry["collection"], entry["value"]) == ("a/b", "users", {"n": 2})


# Damaged files


async def test_a_truncated_entry_is_named_and_other_entries_are_still_read(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put_many(["good", "bad"], [{"secret": "hunter2"}] * 2, collection="users")
        file = tmp_path / "users" / "bad.json"
        file.write_bytes(file.read_bytes()[:-9])
        with pytest.raises(DeserializationError, match=r"users/bad\.json") as corruption:
            await store.get("bad", collection="users")
        assert "hunter2" not in str(corruption.value)
        assert await store.get("good", collection="users") == {"secret": "hunter2"}
        assert sorted(await store.keys("users")) == ["bad", "good"]
        await store.cull()
        assert await store.delete("bad", collection="users") is True


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"collection": 7}'])
async def test_damaged_information_about_a_collection_harms_nothing(tmp_path: Path, text: str) -> None:
    async with v1_store(tmp_path) as store:
        await store.put("ada", {"n": 1}, collection="a/b")
        info = find(tmp_path, "*-info.json")
        info.write_text(text)
        await store.put("bob", {"n": 2}, collection="a/b")
        assert await store.collections() == ["a/b"]
        assert sorted(await store.keys("a/b")) == ["ada", "bob"]


@pytest.mark.parametrize("name", ["\\ud800", "other"])
async def test_an_entry_that_states_other_names_is_ignored(tmp_path: Path, name: str) -> None:
    for store in (FileTreeStore(data_directory=tmp_path), v1_store(tmp_path)):
        async with store:
            await store.put("good", {"n": 1}, collection="users")
            for fields in (f'"key": "{name}"', f'"collection": "{name}"'):
                text = f'{{"version": 1, "created_at": "2026-11-23T09:03:14Z", "value": {{}}, {fields}}}'
                (tmp_path / "users" / "bad.json").write_text(text)
                assert await store.get("bad", collection="users") is None
                assert await store.collections() == ["users"]
                assert set(await store.keys("users")) <= {"good", "bad"}


# Culling


async def test_culling_removes_expired_files_and_no_other(tmp_path: Path) -> None:
    with FakeClock() as clock:
        async with FileTreeStore(data_directory=tmp_path) as store:
            names = [f"key {number}" for number in range(300)]
            await store.put_many(names, [{"n": 1}] * 300, collection="soon", ttl=100)
            await store.put("live", {"n": 1}, collection="soon")
            (tmp_path / "soon" / "notes.txt").write_text("foreign")
            clock.advance(100)
            await store.cull()
    assert files_in(tmp_path / "soon") == {"live.json", "notes.txt"}


async def test_temporary_files_of_an_interrupted_put_are_removed_after_an_hour(tmp_path: Path) -> None:
    token = "0123456789abcdef" * 2
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put("ada", {"n": 1}, collection="users")
        left = [tmp_path / f".{token}.tmp", tmp_path / "users" / f".{token}.tmp"]
        for path in left:
            path.write_text('{"half"')
        foreign = tmp_path / "users" / ".other.tmp"
        foreign.write_text("text")
        assert await store.keys("users") == ["ada"]
        await store.cull()
        assert all(path.exists() for path in left)
        with FakeClock() as clock:
            clock.advance(3700)
            await store.cull()
        assert not any(path.exists() for path in left)
        assert foreign.exists()
