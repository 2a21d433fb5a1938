"""Calls on the entries of a collection, and the files that they leave."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from key_value.aio.stores.filetree import FileTreeStore

COLLECTION = "default_collection"
OUTSIDE = '{"version": 1, "created_at": "2026-11-23T09:03:14+00:00", "value": {"secret": "hunter2"}}'

CALLS: dict[str, Callable[[FileTreeStore], Awaitable[object]]] = {
    "get": lambda store: store.get("ada", collection="users"),
    "get_many": lambda store: store.get_many(["ada", "bob"], collection="users"),
    "put": lambda store: store.put("ada", {"n": 2}, collection="users"),
    "put_many": lambda store: store.put_many(["ada"], [{"n": 2}], collection="users"),
    "delete": lambda store: store.delete("ada", collection="users"),
    "keys": lambda store: store.keys("users"),
    "destroy_collection": lambda store: store.destroy_collection("users"),
}

each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def move_away(path: Path) -> None:
    path.rename(path.with_name("moved"))


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def open_descriptors() -> int:
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("/proc does not tell what is open")
    return len(list(descriptors.iterdir()))


def is_untouched(elsewhere: Path) -> bool:
    return [(path.name, path.read_text()) for path in elsewhere.iterdir()] == [("ada.json", OUTSIDE)]


async def use(store: FileTreeStore, number: int) -> None:
    for turn in range(40):
        key = f"key {turn % 3}"
        await store.put(key, {"n": number}, collection="shelf")
        found = await store.get(key, collection="shelf")
        assert found is None or set(found) == {"n"}
        await store.delete(key, collection="shelf")
        if turn % 4 == 0:
            await store.destroy_collection("shelf")
        elif turn % 9 == 0:
            await store.cull()
        await store.keys("shelf")
        await store.collections()


def files_in(tree: Path) -> list[str]:
    return names_in(tree / COLLECTION)
