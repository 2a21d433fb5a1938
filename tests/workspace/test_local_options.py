"""All local stores accept the same options for path and durability, and their older spellings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.core.urls import parse_url, store_options
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.rocksdb import RocksDBStore

if TYPE_CHECKING:
    from pathlib import Path

OLD_SPELLING: dict[type[Any], str | None] = {
    ChDBStore: "database_path",
    DiskStore: "directory",
    MultiDiskStore: "base_directory",
    FileTreeStore: "data_directory",
    DuckDBStore: "database_path",
    RocksDBStore: None,
}
RENAMED = {store: old for store, old in OLD_SPELLING.items() if old}


@pytest.mark.parametrize(("store_type", "old"), RENAMED.items(), ids=lambda each: getattr(each, "__name__", each))
async def test_both_spellings_name_the_same_data(tmp_path: Path, store_type: type[Any], old: str) -> None:
    async with store_type(path=tmp_path / "data") as store:
        await store.put("key", {"n": 1})
    async with store_type(**{old: str(tmp_path / "data")}) as store:
        assert await store.get("key") == {"n": 1}


@pytest.mark.parametrize(("store_type", "old"), RENAMED.items(), ids=lambda each: getattr(each, "__name__", each))
def test_both_spellings_together_are_refused(tmp_path: Path, store_type: type[Any], old: str) -> None:
    with pytest.raises(ValueError, match=f"pass path or {old}, not both"):
        store_type(path=tmp_path / "a", **{old: tmp_path / "b"})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store_type", OLD_SPELLING, ids=lambda each: each.__name__)
def test_an_empty_path_is_refused(store_type: type[Any]) -> None:
    with pytest.raises(ValueError, match="path"):
        store_type(path="")


@pytest.mark.parametrize("store_type", OLD_SPELLING, ids=lambda each: each.__name__)
def test_a_url_gives_the_path(store_type: type[Any]) -> None:
    assert store_options(store_type, parse_url("any:///var/data"), {}) == {"path": "/var/data"}


@pytest.mark.parametrize("store_type", [DiskStore, MultiDiskStore, FileTreeStore, RocksDBStore])
def test_durability_is_set_by_one_option(tmp_path: Path, store_type: type[Any]) -> None:
    for durability in ("normal", "full"):
        store_type(path=tmp_path / "data", durability=durability)
    refusal = """durability must be "normal" or "full", not 'none'"""
    with pytest.warns(TypeViolationWarning), pytest.raises(ValueError, match=refusal):
        store_type(path=tmp_path / "data", durability="none")


@pytest.mark.parametrize("options", [{"durability": "full"}, {"fsync": True}], ids=json.dumps)
async def test_a_file_tree_is_flushed_under_either_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr("os.fsync", flushed.append)
    async with FileTreeStore(path=tmp_path, **options) as store:
        await store.put("key", {"n": 1})
    assert flushed
