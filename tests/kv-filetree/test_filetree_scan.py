"""Pages of keys: directory listings, files read, and concurrent changes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.iteration import iterate_entries, iterate_keys
from key_value.aio.stores.filetree import FileTreeStore, FileTreeV1KeySanitizationStrategy, pages
from key_value.aio.stores.filetree.directory import Directory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES = [
    "a",
    "a/b",
    "a/c",
    "a%",
    "a%2Fb",
    "%",
    ".a",
    "..",
    "A",
    "É",
    "é",
    "a" + "/" * 300,
    "/" * 300,
    "a/" + "é" * 200,
    "con",
    "con.x",
    "~1",
    "x ",
    "x.",
]


class FileAccesses:
    """File system accesses of the store."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.listings = 0


@pytest.fixture
def accesses(monkeypatch: pytest.MonkeyPatch) -> FileAccesses:
    accesses = FileAccesses()
    read, files = Directory.read, Directory.files

    def noted_read(self: Directory, name: str) -> Any:
        accesses.files.append(name)
        return read(self, name)

    def noted_files(self: Directory) -> Iterator[str]:
        accesses.listings += 1
        return files(self)

    monkeypatch.setattr(Directory, "read", noted_read)
    monkeypatch.setattr(Directory, "files", noted_files)
    return accesses


async def fill(store: FileTreeStore, count: int) -> list[str]:
    names = [f"key {number:04}" for number in range(count)]
    await store.put_many(names, [{"n": 1}] * count)
    return names


async def scan_all(store: FileTreeStore, **options: Any) -> list[str]:
    cursor: str | None = None
    keys: list[str] = []
    while True:
        page, cursor = await store.scan(cursor=cursor, **options)
        keys += page
        if cursor is None:
            return keys


async def test_each_file_is_read_once_and_the_directory_listed_once(tmp_path: Path, accesses: FileAccesses) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        names = await fill(store, 500)
        assert await scan_all(store, limit=30) == names
    assert (len(accesses.files), accesses.listings) == (500, 1)


async def test_a_directory_with_more_names_than_are_kept_is_listed_once_per_portion(
    tmp_path: Path, accesses: FileAccesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_MAX_LISTED_NAMES", 100)
    async with FileTreeStore(data_directory=tmp_path) as store:
        names = await fill(store, 1000)
        assert await scan_all(store, limit=25) == names
    assert (len(accesses.files), accesses.listings) == (1000, 10)


async def test_only_files_that_match_the_prefix_are_read(tmp_path: Path, accesses: FileAccesses) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await fill(store, 500)
        assert await scan_all(store, prefix="key 012") == [f"key 012{number}" for number in range(10)]
    assert len(accesses.files) == 10


@pytest.mark.parametrize("portable", [False, True])
async def test_a_prefix_finds_keys_in_every_spelling(
    tmp_path: Path,
    portable: bool,  # noqa: FBT001
) -> None:
    async with FileTreeStore(data_directory=tmp_path, portable_names=portable) as store:
        await store.put_many(NAMES, [{"n": 1}] * len(NAMES))
        for prefix in {name[:length] for name in NAMES for length in (1, 2, 3, 150, 250)}:
            keys = await scan_all(store, prefix=prefix)
            assert sorted(keys) == sorted(name for name in NAMES if name.startswith(prefix)), prefix


@pytest.mark.parametrize("portable", [False, True])
async def test_a_prefix_finds_keys_as_py_key_value_aio_spelled_them(
    tmp_path: Path,
    portable: bool,  # noqa: FBT001
) -> None:
    (tmp_path / "shelf").mkdir()
    for name in ("Ada%2F", "Ada", "é", "a:b"):
        entry = {"created_at": "2026-11-23T09:03:14.747910+00:00", "value": {"n": 1}, "version": 1}
        (tmp_path / "shelf" / f"{name}.json").write_text(json.dumps(entry))
    async with FileTreeStore(data_directory=tmp_path, portable_names=portable, default_collection="shelf") as store:
        assert await scan_all(store, prefix="Ada%") == ["Ada%2F"]
        assert sorted(await scan_all(store, prefix="A")) == ["Ada", "Ada%2F"]
        assert await scan_all(store, prefix="é") == ["é"]
        assert await scan_all(store, prefix="a:") == ["a:b"]


async def test_a_prefix_finds_keys_whose_names_a_strategy_changed(tmp_path: Path) -> None:
    strategy = FileTreeV1KeySanitizationStrategy(tmp_path)
    async with FileTreeStore(data_directory=tmp_path, key_sanitization_strategy=strategy) as store:
        await store.put_many(["a/b", "a/c", "b/a"], [{"n": 1}] * 3)
        assert sorted(await scan_all(store, prefix="a/")) == ["a/b", "a/c"]


async def test_another_store_continues_with_a_cursor(tmp_path: Path) -> None:
    cursor: str | None = None
    keys: list[str] = []
    async with FileTreeStore(data_directory=tmp_path) as store:
        names = await fill(store, 100)
    while True:
        async with FileTreeStore(data_directory=tmp_path) as store:
            page, cursor = await store.scan(cursor=cursor, limit=9)
        keys += page
        if cursor is None:
            break
    assert keys == names


async def test_a_cursor_of_an_earlier_scan_does_not_hide_newer_entries(tmp_path: Path) -> None:
    here, there = FileTreeStore(data_directory=tmp_path), FileTreeStore(data_directory=tmp_path)
    await fill(here, 100)
    await here.scan(limit=10)
    await there.put("key 0050 new", {"n": 1})
    _, cursor = await there.scan(limit=10)
    keys: list[str] = []
    while cursor is not None:
        page, cursor = await here.scan(cursor=cursor, limit=10)
        keys += page
    assert "key 0050 new" in keys
    await asyncio.gather(here.close(), there.close())


@pytest.mark.parametrize("text", ["", "/", "x", "/9/a", "/-1/a", "/٣/a", "/0"])
async def test_a_made_up_cursor_is_refused(tmp_path: Path, text: str) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await fill(store, 3)
        _, cursor = await store.scan(limit=1)
        assert cursor is not None
        mark = cursor.partition("-")[0]
        with pytest.raises(ValueError, match="cursor"):
            await store.scan(cursor=f"{mark}-{text}")


async def test_a_scan_returns_all_lasting_keys_while_others_are_put_and_deleted(tmp_path: Path) -> None:
    async with (
        FileTreeStore(data_directory=tmp_path) as store,
        FileTreeStore(data_directory=tmp_path) as other,
    ):
        names = await fill(store, 400)
        done = False

        async def disturb() -> None:
            turn = 0
            while not done:
                turn += 1
                key = f"key {turn % 400:04}"
                await other.put(key, {"n": turn})
                await other.put(f"{key} short-lived", {"n": turn})
                version = (await other.get_versioned(key)).version
                await other.put_if_version(key, {"n": turn}, version)
                await other.delete(f"{key} short-lived")

        disturbing = asyncio.create_task(disturb())
        for limit in (1, 7, 150, 1000):
            assert set(names) <= set(await scan_all(store, limit=limit))
            assert set(names) <= {key async for key in iterate_keys(store, page_size=limit)}
        done = True
        await disturbing


async def test_a_key_that_moves_from_an_older_spelling_during_a_scan_is_returned(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await fill(store, 20)
        entry = {"created_at": "2026-11-23T09:03:14.747910+00:00", "value": {"n": 1}, "version": 1}
        (tmp_path / "default_collection" / "z\\.json").write_text(json.dumps(entry))
        keys, cursor = await store.scan(limit=5)
        await store.put("z\\", {"n": 2})
        while cursor is not None:
            page, cursor = await store.scan(cursor=cursor, limit=5)
            keys += page
        assert "z\\" in keys
        assert (await store.keys()).count("z\\") == 1


async def test_file_names_that_are_not_text_are_ignored(tmp_path: Path) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        await store.put("ada", {"n": 1})
        strange = bytes(tmp_path / "default_collection") + b"/\xff.json"
        with open(strange, "wb") as file:  # noqa: ASYNC230, PTH123 — Path does not accept bytes
            file.write((tmp_path / "default_collection" / "ada.json").read_bytes())
        assert await store.keys() == ["ada"]
        assert [entry.key async for entry in iterate_entries(store, prefix="a")] == ["ada"]


async def test_abandoned_scans_do_not_accumulate(tmp_path: Path, accesses: FileAccesses) -> None:
    async with FileTreeStore(data_directory=tmp_path) as store:
        names = await fill(store, 30)
        (keys, first), *_ = [await store.scan(limit=10) for _ in range(6)]
        while first is not None:
            page, first = await store.scan(cursor=first, limit=10)
            keys += page
        assert keys == names
        assert len(store._listings._listings) <= 4  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — memory
    assert accesses.listings == 7
