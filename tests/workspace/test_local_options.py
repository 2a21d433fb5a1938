"""All local stores accept the same options for path and durability, and their older spellings."""

from __future__ import annotations

import json
import os
from inspect import signature
from math import inf, nan
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.core.urls import parse_url, store_options
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.stores.filetree import FileTreeStore
from key_value.aio.stores.keyring import KeyringStore
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.rocksdb import RocksDBStore
from key_value.aio.stores.simple import SimpleStore

if TYPE_CHECKING:
    from collections.abc import Iterator
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


# Types of options

LOCAL_STORES = [*OLD_SPELLING, KeyringStore, MemoryStore, SimpleStore]
PATHS = ("path", "directory", "base_directory", "data_directory", "database_path", "metadata_directory")
PATH = "a str or a path"
EXPECTED = dict.fromkeys(PATHS, PATH) | {
    "max_size": "an int or None",
    "max_entries": "an int or None",
    "max_entries_per_collection": "an int or None",
    "timeout": "a number or None",
    "service_name": "a str",
    "table_name": "a str",
}


class BytesPath(os.PathLike[bytes]):
    def __fspath__(self) -> bytes:
        return b"data"


WRONG: dict[str, list[Any]] = {
    PATH: [3, True, 1.5, b"data", BytesPath(), ["data"]],
    "an int or None": ["3", "3MB", True, False, 1.5, inf, nan, b"3", [3]],
    "a number or None": ["3", "soon", True, False, b"3", [3], 1j],
    "a str": [3, True, b"name", ["name"]],
}


def wrong_types() -> Iterator[Any]:
    """Yield each path, number and name of the constructors, with values of wrong types."""
    for store_type in LOCAL_STORES:
        for option in signature(store_type).parameters:
            for wrong in WRONG[EXPECTED[option]] if option in EXPECTED else ():
                yield pytest.param(store_type, option, wrong, id=f"{store_type.__name__}-{option}-{wrong!r:.8}")


def place(store_type: type[Any], directory: Path, *, besides: str) -> dict[str, Any]:
    """Return a path for the store, if it needs one in addition to this option."""
    takes_path = "path" in signature(store_type).parameters
    return {"path": directory / "data"} if takes_path and besides not in {*PATHS} - {"metadata_directory"} else {}


@pytest.mark.parametrize(("store_type", "option", "wrong"), [*wrong_types()])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_an_option_of_a_wrong_type_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store_type: type[Any], option: str, wrong: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    expected = EXPECTED[option]
    if option == "timeout" and store_type is not KeyringStore:
        expected = "a number"
    with pytest.raises(TypeError, match=f"^{option} must be {expected}, not {type(wrong).__name__}$"):
        store_type(**place(store_type, tmp_path, besides=option), **{option: wrong})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("store_type", [DiskStore, MultiDiskStore])
@pytest.mark.filterwarnings("ignore::key_value.aio.core.type_checks.TypeViolationWarning")
def test_a_time_limit_that_must_be_given_is_not_none(tmp_path: Path, store_type: type[Any]) -> None:
    with pytest.raises(TypeError, match=r"^timeout must be a number, not NoneType$"):
        store_type(path=tmp_path, timeout=None)


class Index:
    """An integer of another library, such as NumPy."""

    def __index__(self) -> int:
        return 1_000_000


@pytest.mark.parametrize("number", [1e6, Index()], ids=["float", "index"])
@pytest.mark.parametrize(
    ("store_type", "option"),
    [
        (DiskStore, "max_size"),
        (MultiDiskStore, "max_size"),
        (MemoryStore, "max_entries_per_collection"),
        (SimpleStore, "max_entries"),
    ],
)
async def test_an_integer_of_another_type_gives_a_warning(
    tmp_path: Path, store_type: type[Any], option: str, number: object
) -> None:
    with pytest.warns(TypeViolationWarning, match=option):
        store = store_type(**place(store_type, tmp_path, besides=option), **{option: number})
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    await store.close()
