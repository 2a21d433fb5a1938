"""Opening by URL and by path, the readiness probe, and the files that remain after culling and destroying."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.testing import FakeClock
from key_value.aio.urls import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator


def in_tree(tree: Path) -> list[str]:
    """Return every file and directory, relative to the tree."""
    return sorted(path.relative_to(tree).as_posix() for path in tree.rglob("*"))


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


# Location


@pytest.mark.parametrize("absolute", [False, True])
async def test_a_url_names_the_directory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    absolute: bool,  # noqa: FBT001
) -> None:
    monkeypatch.chdir(tmp_path)
    async with open_store(f"filetree://{tmp_path}/a%20b/c" if absolute else "filetree://a%20b/c") as store:
        await store.put("ada", {"n": 1}, collection="users")
    assert (tmp_path / "a b" / "c" / "users" / "ada.json").is_file()


async def test_a_url_sets_options_of_each_type(tmp_path: Path) -> None:
    query = f"metadata_directory={tmp_path}/info&default_collection=users&portable_names=true&fsync=1"
    async with open_store(f"filetree://{tmp_path}/tree?{query}") as store:
        await store.put("Ada", {"n": 1})
    assert in_tree(tmp_path) == [
        "info",
        "info/users-info.json",
        "tree",
        "tree/.portable-names",
        "tree/users",
        "tree/users/%41da.json",
    ]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("filetree://", "path"),
        ("filetree://user:secret@tree", "path"),
        ("filetree://tree:80", "path"),
        ("filetree://tree?fsync=perhaps", "fsync"),
        ("filetree://tree?colour=red", "colour"),
        ("filetree://tree?data_directory=other", "data_directory"),
        ("filetree://tree#part", "fragment"),
    ],
)
def test_an_invalid_url_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as refusal:
        open_store(url)
    assert "secret" not in str(refusal.value)


async def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    stores = [
        FileTreeStore(data_directory="~/one", metadata_directory="~/info"),
        FileTreeStore(data_directory=Path("~/two")),
        FileTreeStore.from_url("filetree://~/three"),
    ]
    for store in stores:
        async with store:
            await store.put("ada", {"n": 1}, collection="users")
    files = [path for path in in_tree(tmp_path) if path.endswith(".json")]
    assert files == [
        "info/users-info.json",
        "one/users/ada.json",
        "three/users-info.json",
        "three/users/ada.json",
        "two/users-info.json",
        "two/users/ada.json",
    ]


@pytest.mark.parametrize("option", ["data_directory", "metadata_directory"])
def test_the_home_directory_of_an_unknown_user_is_refused(option: str) -> None:
    options: dict[str, Any] = {"data_directory": "tree", option: "~nobody-of-that-name/tree"}
    with pytest.raises(ValueError, match="~nobody-of-that-name"):
        FileTreeStore(**options)


# The probe


async def test_stores_can_create_the_same_directory_concurrently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look, made = Path.is_dir, tmp_path / "tree"

    def is_dir(path: Path) -> bool:
        found = look(path)
        # As if another store's thread created it between two calls of `is_dir`.
        if path == made:
            os.makedirs(made, exist_ok=True)  # noqa: PTH103 — it does not call `is_dir`
        return found

    monkeypatch.setattr(Path, "is_dir", is_dir)
    async with FileTreeStore(data_directory=made) as store:
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}


async def test_setup_recreates_a_removed_directory(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    async with FileTreeStore(data_directory=tree, metadata_directory=tmp_path / "info") as store:
        await asyncio.to_thread(shutil.rmtree, tree)
        await store.setup()
        assert tree.is_dir()
        assert in_tree(tmp_path) == ["info", "tree"]


async def test_setup_reports_a_removed_directory_without_auto_create(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    async with FileTreeStore(data_directory=tree, auto_create=False) as store:
        tree.rmdir()
        with pytest.raises(StoreSetupError, match="tree does not exist"):
            await store.setup()
        tree.mkdir()
        await store.setup()


@pytest.mark.parametrize("name", ["tree", "info"])
async def test_setup_reports_a_directory_that_is_no_longer_writable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    create = Directory.create

    def refuse(self: Directory, file: str) -> None:
        if self.path.endswith(name):
            raise PermissionError(13, os.strerror(13), file)
        create(self, file)

    store = FileTreeStore(data_directory=tmp_path / "tree", metadata_directory=tmp_path / "info")
    await store.setup()
    # Simulated, because root may write regardless of file modes.
    monkeypatch.setattr(Directory, "create", refuse)
    with pytest.raises(StoreSetupError, match="Permission denied"):
        await store.setup()
    await store.close()


# Remaining files


async def test_culling_removes_directories_and_information_of_empty_collections(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with FileTreeStore(data_directory=tmp_path / "tree", metadata_directory=tmp_path / "info") as store:
        for number in range(20):
            await store.put("state", {"n": number}, collection=f"session/{number}", ttl=10)
        await store.put("state", {"n": 1}, collection="emptied")
        await store.delete("state", collection="emptied")
        await store.put("state", {"n": 1}, collection="alive")
        clock.advance(20)
        await store.cull()
        assert in_tree(tmp_path) == [
            "info",
            "info/alive-info.json",
            "tree",
            "tree/alive",
            "tree/alive/state.json",
        ]
        await store.put("state", {"n": 1}, collection="session/1")
        assert sorted(await store.collections()) == ["alive", "session/1"]


async def test_culling_without_auto_create_keeps_empty_directories(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "users").mkdir()
    (tmp_path / "elsewhere").mkdir()
    async with FileTreeStore(data_directory=tmp_path, auto_create=False) as store:
        await store.put("ada", {"n": 1}, collection="users", ttl=10)
        clock.advance(20)
        await store.cull()
        assert in_tree(tmp_path) == ["elsewhere", "users"]
        await store.put("ada", {"n": 1}, collection="users")
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.cull()
    assert in_tree(tmp_path) == ["elsewhere", "users", "users/ada.json"]


@pytest.mark.parametrize("method", ["cull", "destroy"])
async def test_information_whose_directory_is_gone_is_removed(tmp_path: Path, method: str) -> None:
    tree, info = tmp_path / "tree", tmp_path / "info"
    async with FileTreeStore(data_directory=tree, metadata_directory=info) as store:
        await store.put("ada", {"n": 1}, collection="users")
        await asyncio.to_thread(shutil.rmtree, tree / "users")
        # From another tree with the same metadata directory.
        other = {"collection": "b", "created_at": "", "directory": str(tmp_path / "other" / "b"), "version": 1}
        (info / "b-info.json").write_text(json.dumps(other))
        await getattr(store, method)()
    assert in_tree(tmp_path) == ["info", "info/b-info.json", "tree"]


@pytest.mark.parametrize("method", ["cull", "destroy_collection"])
async def test_writers_lose_nothing_to_concurrent_removal_of_directories(tmp_path: Path, method: str) -> None:
    stores = [FileTreeStore(data_directory=tmp_path) for _ in range(3)]
    remover = FileTreeStore(data_directory=tmp_path)
    done = False

    async def remove() -> None:
        while not done:
            # The collection with the checked entries is never destroyed, only emptied by deletions.
            await (remover.cull() if method == "cull" else remover.destroy_collection("other"))

    async def write(store: FileTreeStore, number: int) -> None:
        for turn in range(60):
            await store.put(f"key {number}", {"n": turn}, collection="shelf")
            assert await store.get(f"key {number}", collection="shelf") == {"n": turn}
            await store.put("key", {"n": turn}, collection="other")
            assert await store.delete(f"key {number}", collection="shelf") is True

    removing = asyncio.create_task(remove())
    await asyncio.gather(*(write(store, number) for number, store in enumerate(stores)))
    await asyncio.gather(*(store.put("last", {"n": 1}, collection=f"last {n}") for n, store in enumerate(stores)))
    done = True
    await removing
    for number in range(3):
        assert (tmp_path / f"last {number}" / "last.json").is_file()
        assert (tmp_path / f"last {number}-info.json").is_file()
    await remover.destroy()
    assert in_tree(tmp_path) == []
    await asyncio.gather(*(store.close() for store in (*stores, remover)))
