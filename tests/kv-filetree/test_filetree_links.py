"""Links, pipes and other unexpected files in place of collections and entries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from key_value.aio.errors import (
    KeyValueStoreError,
    PathSecurityError,
)
from key_value.aio.stores.filetree import FileTreeStore, directory

from .trees import CALLS, OUTSIDE, each_call, is_untouched, link, names_in

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


@pytest.fixture(params=["descriptors", "paths"])
def lookup(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with both ways of looking up names: by directory descriptors where available, and by paths."""
    if request.param == "paths":
        monkeypatch.setattr(directory, "_HAS_DESCRIPTORS", False)
        monkeypatch.setattr(directory, "_NO_FOLLOW", 0)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Return a directory that must not be read or changed through the tree."""
    path = tmp_path / "elsewhere"
    path.mkdir()
    (path / "ada.json").write_text(OUTSIDE)
    return path


# Links


@pytest.mark.usefixtures("lookup")
@each_call
async def test_a_link_in_place_of_a_collection_is_never_followed(
    store: FileTreeStore, tree: Path, elsewhere: Path, call: Callable[[FileTreeStore], Awaitable[object]]
) -> None:
    (tree / "users").symlink_to(elsewhere)
    with pytest.raises(PathSecurityError, match="users"):
        await call(store)
    assert is_untouched(elsewhere)


@pytest.mark.usefixtures("lookup")
async def test_a_link_in_place_of_a_collection_is_neither_listed_nor_destroyed(
    store: FileTreeStore, tree: Path, elsewhere: Path
) -> None:
    (tree / "users").symlink_to(elsewhere)
    assert await store.collections() == []
    await store.cull()
    await store.destroy()
    assert (tree / "users").is_symlink()
    assert is_untouched(elsewhere)


@pytest.mark.usefixtures("lookup")
@pytest.mark.parametrize("dangling", [False, True])
async def test_a_link_in_place_of_an_entry_is_never_followed(
    store: FileTreeStore,
    tree: Path,
    elsewhere: Path,
    dangling: bool,  # noqa: FBT001
) -> None:
    await store.put("bob", {"n": 1}, collection="users")
    link = tree / "users" / "ada.json"
    link.symlink_to(elsewhere / ("absent" if dangling else "ada.json"))
    for call in (CALLS["get"], CALLS["get_many"], CALLS["delete"]):
        with pytest.raises(PathSecurityError, match=r"ada\.json"):
            await call(store)
    assert await store.keys("users") == ["bob"]
    assert await store.destroy_collection("users") is True
    assert link.is_symlink()
    await store.put("ada", {"n": 2}, collection="users")
    assert not link.is_symlink()
    assert is_untouched(elsewhere)


async def test_a_link_to_an_entry_of_another_collection_is_never_followed(store: FileTreeStore, tree: Path) -> None:
    for collection in ("mine", "yours"):
        await store.put("ada", {"collection": collection}, collection=collection)
    (tree / "mine" / "ada.json").unlink()
    (tree / "mine" / "ada.json").symlink_to("../yours/ada.json")
    with pytest.raises(PathSecurityError):
        await store.get("ada", collection="mine")
    await store.put("ada", {"collection": "mine"}, collection="mine")
    assert await store.get("ada", collection="yours") == {"collection": "yours"}


async def test_a_link_in_place_of_information_is_never_followed(
    store: FileTreeStore, tree: Path, elsewhere: Path
) -> None:
    (tree / "users-info.json").symlink_to(elsewhere / "ada.json")
    await store.put("ada", {"n": 1}, collection="users")
    assert await store.collections() == ["users"]
    await store.destroy()
    assert is_untouched(elsewhere)


async def test_the_data_directory_may_be_a_link(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link(tree, tmp_path / "real")
    async with FileTreeStore(data_directory=tree) as store:
        await store.put("ada", {"n": 1}, collection="users")
        assert (await store.keys("users"), await store.collections()) == (["ada"], ["users"])
        assert (tmp_path / "real" / "users" / "ada.json").is_file()
        await store.destroy()
    assert names_in(tmp_path / "real") == []


# Other files


async def test_a_pipe_in_place_of_an_entry_does_not_block_the_store(store: FileTreeStore, tree: Path) -> None:
    await store.put("bob", {"n": 1}, collection="users")
    os.mkfifo(tree / "users" / "ada.json")
    with pytest.raises(KeyValueStoreError, match=r"ada\.json"):
        await store.get("ada", collection="users")
    assert await store.keys("users") == ["bob"]


async def test_a_directory_in_place_of_an_entry_is_an_error_that_names_it(store: FileTreeStore, tree: Path) -> None:
    (tree / "users" / "ada.json").mkdir(parents=True)
    for name in ("get", "put", "delete"):
        with pytest.raises(KeyValueStoreError, match=r"ada\.json"):
            await CALLS[name](store)
    assert names_in(tree / "users") == ["ada.json"]


@each_call
async def test_a_file_in_place_of_a_collection_is_an_error_that_names_it(
    store: FileTreeStore, tree: Path, call: Callable[[FileTreeStore], Awaitable[object]]
) -> None:
    (tree / "users").write_text("text")
    with pytest.raises(KeyValueStoreError, match="users is not a directory"):
        await call(store)
    assert (tree / "users").read_text() == "text"
