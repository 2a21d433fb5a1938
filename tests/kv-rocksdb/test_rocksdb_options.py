"""Options, URLs and databases that are passed in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from embedded_cases import URLCases
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore
from rocksdict import Rdict

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries"


# Options and URLs


class TestRocksDBURLs(URLCases[RocksDBStore]):
    store_type = RocksDBStore
    scheme = "rocksdb"


def test_a_url_without_a_path_is_refused() -> None:
    with pytest.raises(ValueError, match="must name a path"):
        RocksDBStore.from_url("rocksdb://")


def test_a_url_may_name_the_durability() -> None:
    assert repr(RocksDBStore.from_url("rocksdb:///var/lib/app?durability=full")) == "RocksDBStore(/var/lib/app)"


@pytest.mark.parametrize("options", [{}, {"path": ""}], ids=["none", "empty path"])
def test_a_database_or_a_path_is_required(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pass either db=, .* or path="):
        RocksDBStore(**options)


def test_a_database_and_a_path_are_refused(path: Path) -> None:
    with Rdict(str(path)) as client, pytest.raises(ValueError, match=r"pass either db=, .* or path="):
        RocksDBStore(db=client, path=path)


def test_a_constructor_opens_nothing(path: Path) -> None:
    RocksDBStore(path=path)
    assert not path.exists()


async def test_a_missing_database_is_not_created_without_auto_create(path: Path) -> None:
    store = RocksDBStore(path=path, auto_create=False)
    with pytest.raises(StoreSetupError, match=r"no RocksDB database in .*entries; create it, or pass auto_create=True"):
        await store.get("a")
    async with RocksDBStore(path=str(path)) as creator:
        await creator.put("a", {"n": 1})
    assert await store.get("a") == {"n": 1}
    await store.close()


async def test_durability_full_waits_for_every_write(path: Path) -> None:
    async with RocksDBStore(path=path, durability="full") as store:
        await store.put("a", {"n": 1})
        await store.put_many(["b", "c"], [{"n": 2}, {"n": 3}])
        assert await store.delete("a") is True
        assert await store.get_many(["a", "b", "c"]) == [None, {"n": 2}, {"n": 3}]
        synced = (path / "LOG").read_text(errors="replace")
    assert "Options.use_fsync: 0" in synced


# Home directory


@pytest.mark.skipif(sys.platform == "win32", reason="there is no home of this name")
async def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with RocksDBStore(path="~/data") as store:
        await store.put("a", {})
    assert (tmp_path / "data" / "CURRENT").is_file()


# Databases that are passed in


async def test_a_database_is_left_open(path: Path) -> None:
    with Rdict(str(path)) as client:
        store = RocksDBStore(db=client)
        await store.put("a", {"n": 1})
        await store.close()
        assert list(client.keys()) == ["default_collection::a"]
        assert await store.get("a") == {"n": 1}


async def test_a_database_closed_by_its_owner_is_a_connection_error(path: Path) -> None:
    with Rdict(str(path)) as client:
        store = RocksDBStore(db=client)
        await store.put("a", {"n": 1})
    with pytest.raises(StoreConnectionError):
        await store.get("a")
    with pytest.raises(KeyValueStoreError):
        await store.put("a", {"n": 2})
