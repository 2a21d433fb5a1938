"""Stores opened by URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.urls import open_store

if TYPE_CHECKING:
    from pathlib import Path

STORES = pytest.mark.parametrize(("scheme", "store_class"), [("disk", DiskStore), ("multi-disk", MultiDiskStore)])


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@STORES
@pytest.mark.parametrize(
    ("location", "directory"),
    [
        ("cache/app", "cache/app"),
        ("/var/cache/app", "/var/cache/app"),
        ("~/cache", "home/cache"),
        ("a%20b/%23", "a b/#"),
        ("cache/", "cache"),
    ],
)
def test_the_location_is_the_directory(
    tmp_path: Path, scheme: str, store_class: Any, location: str, directory: str
) -> None:
    store = open_store(f"{scheme}://{location}")
    assert type(store) is store_class
    assert repr(store) == f"{store_class.__name__}({str(tmp_path / directory)!r})"


@STORES
async def test_the_query_sets_options_of_each_type(tmp_path: Path, scheme: str, store_class: Any) -> None:
    query = "max_size=1000000&default_collection=users&auto_create=false&durability=full&timeout=0.5"
    store: Any = open_store(f"{scheme}://cache?{query}")
    assert type(store) is store_class
    assert store.capabilities.max_value_bytes == 1_000_000 - 48 * 1024
    assert store.default_collection == "users"
    with pytest.raises(Exception, match="with auto_create=False the directory must exist"):
        await store.put("key", {})
    (tmp_path / "cache").mkdir()
    async with store:
        await store.put("key", {"n": 1})
        assert await store.collections() == ["users"]


@STORES
@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("://", "must name a path"),
        ("://ada@cache", "must name a path"),
        ("://cache:80/x", "must name a path"),
        ("://cache#part", "has a fragment"),
        ("://cache?max_sise=1", r"no options \['max_sise'\]; its options are .*'max_size'"),
        ("://cache?max_size=large", "max_size of the URL must be a whole number"),
        ("://cache?max_size=7", "max_size must be at least"),
        ("://cache?auto_create=perhaps", "auto_create of the URL must be true or false"),
        ("://cache?durability=some", "durability of the URL must be"),
        ("://cache?directory=a&base_directory=b", r"""the URL has no options \['(base_)?directory'\]"""),
    ],
)
def test_an_invalid_url_is_refused(tmp_path: Path, scheme: str, store_class: Any, rest: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        store_class.from_url(f"{scheme}{rest}")
    assert list(tmp_path.iterdir()) == []
