"""Unusable directories, full file systems, and concurrent changes of the same tree."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from embedded import file_size_limit
from key_value.aio.errors import (
    StoreConnectionError,
    StoreSetupError,
)
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.filetree.directory import Directory

from .trees import CALLS, move_away, names_in, open_descriptors, use

if TYPE_CHECKING:
    from collections.abc import Iterator


# Options and directories that cannot be used


@pytest.mark.parametrize("path", ["", "a\0b"])
@pytest.mark.parametrize(
    ("option", "others"), [("path", {}), ("data_directory", {}), ("metadata_directory", {"path": "tree"})]
)
def test_an_invalid_path_is_refused(option: str, others: dict[str, Any], path: str) -> None:
    options: dict[str, Any] = {**others, option: path}
    with pytest.raises(ValueError, match=option):
        FileTreeStore(**options)


def test_a_serialization_adapter_is_refused(tree: Path) -> None:
    with pytest.raises(ValueError, match="serialization_adapter"):
        FileTreeStore(data_directory=tree, serialization_adapter=object())


def test_constructing_touches_no_file(tree: Path) -> None:
    FileTreeStore(data_directory=tree, metadata_directory=tree / "metadata")
    FileTreeStore(data_directory=str(tree), auto_create=False)
    assert not tree.exists()


async def test_a_relative_path_is_resolved_at_construction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = FileTreeStore(data_directory="tree")
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    async with store:
        await store.put("ada", {"n": 1}, collection="users")
    assert (tmp_path / "tree" / "users" / "ada.json").is_file()


@pytest.mark.parametrize("option", ["data_directory", "metadata_directory"])
async def test_a_directory_that_is_a_file_is_a_setup_error(tmp_path: Path, option: str) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    for path in (file, file / "below"):
        options: dict[str, Any] = {"data_directory": tmp_path / "tree", option: path}
        with pytest.raises(StoreSetupError, match=str(file)):
            await FileTreeStore(**options).get("ada")
    assert file.read_text() == "text"


async def test_a_missing_directory_without_auto_create_is_a_setup_error(tree: Path) -> None:
    with pytest.raises(StoreSetupError, match=f"{tree} does not exist"):
        await FileTreeStore(data_directory=tree, auto_create=False).setup()
    assert names_in(tree.parent) == []


async def test_a_missing_collection_without_auto_create_can_be_read_and_not_written(tree: Path) -> None:
    (tree / "users").mkdir(parents=True)
    async with FileTreeStore(data_directory=tree, auto_create=False) as store:
        await store.put("ada", {"n": 1}, collection="users")
        assert await store.get("ada", collection="other") is None
        with pytest.raises(StoreSetupError, match="other does not exist"):
            await store.put("ada", {"n": 1}, collection="other")
        (tree / "users" / "ada.json").rename(tree / "ada.json")
        (tree / "users").rmdir()
        move_away(tree)
        with pytest.raises(StoreSetupError, match="tree"):
            await store.get("ada", collection="users")


async def test_a_tree_that_is_removed_during_use_is_recreated(store: FileTreeStore, tree: Path) -> None:
    await store.put("ada", {"n": 1}, collection="users")
    move_away(tree)
    assert await store.get("ada", collection="users") is None
    assert (await store.keys("users"), await store.collections()) == ([], [])
    await store.put("ada", {"n": 2}, collection="users")
    assert await store.get("ada", collection="users") == {"n": 2}


@pytest.fixture
def as_another_user() -> Iterator[None]:
    """Act as a user without root rights: root may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


async def test_a_read_only_tree_can_be_read_and_writes_say_that_it_is_read_only(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    tree = tmp_path / "tree"
    async with FileTreeStore(data_directory=tree) as store:
        await store.put("ada", {"n": 1}, collection="users", ttl=1000)
    for path in (tree, *tree.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    request.getfixturevalue("as_another_user")
    store = FileTreeStore(data_directory=tree)
    assert await store.get("ada", collection="users") == {"n": 1}
    assert (await store.keys("users"), await store.collections()) == (["ada"], ["users"])
    for name in ("put", "put_many", "delete", "destroy_collection"):
        with pytest.raises(StoreSetupError, match=r"tree.*EACCES"):
            await CALLS[name](store)
    with pytest.raises(StoreSetupError, match=r"tree.*EACCES"):
        await store.put("ada", {"n": 1}, collection="new")
    with pytest.raises(StoreSetupError, match=r"tree.*EACCES"):
        await store.setup()
    assert await store.get("ada", collection="users") == {"n": 1}
    await store.close()


@pytest.mark.parametrize("portable", [False, True])
async def test_an_empty_read_only_tree_has_no_entries_and_refuses_writes(
    tmp_path: Path,
    request: pytest.FixtureRequest,
    portable: bool,  # noqa: FBT001
) -> None:
    tree = tmp_path / "tree"
    tree.mkdir(mode=0o555)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(path.stat().st_mode | 0o055)
    request.getfixturevalue("as_another_user")
    store = FileTreeStore(data_directory=tree, portable_names=portable)
    assert await store.get("Ada", collection="users") is None
    assert await store.collections() == []
    with pytest.raises(StoreConnectionError, match=str(tree)):
        await store.put("Ada", {"n": 1}, collection="users")
    await store.close()


# Full file systems


async def test_a_full_file_system_is_a_clear_error_and_loses_nothing(small_file_system: Path) -> None:
    tree = small_file_system / "tree"
    async with FileTreeStore(data_directory=tree) as store:
        await store.put("ada", {"text": "a" * 20_000}, collection="users")
        for call in (
            store.put("ada", {"text": "b" * 60_000}, collection="users"),
            store.put_many(["bob", "cid"], [{"text": "b" * 20_000}, {"text": "c" * 60_000}], collection="users"),
        ):
            with pytest.raises(StoreConnectionError, match=rf"{tree}.*ENOSPC"):
                await call
        assert await store.get("ada", collection="users") == {"text": "a" * 20_000}
        assert names_in(tree / "users") == ["ada.json", "bob.json"]
        await store.delete("bob", collection="users")
        await store.put("ada", {"text": "b" * 20_000}, collection="users")
        assert await store.get("ada", collection="users") == {"text": "b" * 20_000}


@pytest.fixture
def limited_files() -> Iterator[None]:
    with file_size_limit(50_000):
        yield


@pytest.mark.usefixtures("limited_files")
async def test_a_file_that_may_not_grow_is_a_clear_error_and_loses_nothing(store: FileTreeStore, tree: Path) -> None:
    await store.put("ada", {"n": 1}, collection="users")
    with pytest.raises(StoreConnectionError, match="EFBIG") as failure:
        await store.put("ada", {"text": "b" * 60_000}, collection="users")
    assert isinstance(failure.value.__cause__, OSError)
    assert "bbb" not in str(failure.value)
    assert await store.get("ada", collection="users") == {"n": 1}
    assert names_in(tree / "users") == ["ada.json"]


async def test_a_store_without_file_descriptors_recovers_when_some_are_free(store: FileTreeStore) -> None:
    await store.put("ada", {"n": 1}, collection="users")
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, old[1]))
    try:
        with pytest.raises(StoreConnectionError, match="EMFILE"):
            await store.get("ada", collection="users")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, old)
    assert await store.get("ada", collection="users") == {"n": 1}


async def test_nothing_stays_open(store: FileTreeStore) -> None:
    await store.put("ada", {"n": 1}, collection="users")
    before = open_descriptors()
    for call in CALLS.values():
        await call(store)
    await store.put_many([f"key {number}" for number in range(3000)], [{"n": 1}] * 3000, collection="users")
    assert len(await store.keys("users", limit=1)) == 1
    assert open_descriptors() == before


# Concurrent changes of the tree


async def test_stores_that_write_and_destroy_concurrently_do_not_fail(tree: Path) -> None:
    stores = [FileTreeStore(data_directory=tree) for _ in range(4)]
    await asyncio.gather(*(use(store, number) for number, store in enumerate(stores)))
    await asyncio.gather(*(store.close() for store in stores))


USER = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from key_value.aio.stores.filetree import FileTreeStore
from trees import use

asyncio.run(use(FileTreeStore(data_directory=sys.argv[2]), int(sys.argv[3])))
"""


def test_processes_that_write_and_destroy_concurrently_do_not_fail(tree: Path) -> None:
    command = [sys.executable, "-c", USER, str(Path(__file__).parent), str(tree)]
    processes = [
        subprocess.Popen([*command, str(number)], stderr=subprocess.PIPE, text=True)  # noqa: S603 — ours
        for number in range(3)
    ]
    assert [(process.communicate(timeout=250)[1], process.returncode) for process in processes] == [("", 0)] * 3


def test_an_entry_replaced_in_the_meantime_is_not_removed_as_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Directory(str(tmp_path)) as opened:
        opened.write("ada.json", b"expired", fsync=False)
        expired = opened.read("ada.json")
        assert expired is not None
        status = Directory.status

        def status_before_a_put(self: Directory, name: str) -> os.stat_result | None:
            found = status(self, name)
            if name == "ada.json":
                (tmp_path / "new").write_bytes(b"live")
                (tmp_path / "new").replace(tmp_path / "ada.json")
            return found

        monkeypatch.setattr(Directory, "status", status_before_a_put)
        assert opened.remove_if("ada.json", expired.status) is False
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("ada.json", b"live")]


async def test_other_operations_run_during_a_scan(store: FileTreeStore) -> None:
    names = [f"key {number}" for number in range(3000)]
    await store.put_many(names, [{"n": 1}] * 3000, collection="shelf")
    listing = asyncio.ensure_future(store.keys("shelf"))
    turns = 0
    while not listing.done():
        await store.get("key 1", collection="shelf")
        turns += 1
    assert len(listing.result()) == 3000
    # One per step of the scan; a step takes 5 ms.
    assert turns > 3
