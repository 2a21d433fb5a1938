"""Options, and directories that cannot be used."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import stat
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.disk import DiskStore, MultiDiskStore

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Execute
    from key_value.aio.core.directories import Durability

FILE = "key-value.db"


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def below(directory: Path) -> list[Path]:
    return list(directory.rglob("*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs the path of a directory"),
        ({"directory": "d", "max_size": 98_303}, "max_size must be at least 98304 bytes or None, not 98303"),
        ({"directory": "d", "timeout": 0}, "timeout must be above zero seconds, not 0"),
        ({"directory": "d", "timeout": float("nan")}, "timeout must be above zero"),
        ({"directory": "d", "disk_cache": object()}, "Pass path= and max_size="),
    ],
)
def test_an_invalid_option_is_a_value_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        DiskStore(**options)


def test_a_factory_of_diskcaches_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Pass path= and max_size="):
        MultiDiskStore(disk_cache_factory=object(), base_directory=tmp_path)
    with pytest.raises(ValueError, match="MultiDiskStore needs the path of a directory"):
        MultiDiskStore()


def test_constructing_touches_nothing(tmp_path: Path) -> None:
    DiskStore(directory=tmp_path / "a")
    MultiDiskStore(base_directory=str(tmp_path / "b"))
    assert list(tmp_path.iterdir()) == []


async def test_a_relative_directory_is_resolved_at_construction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = DiskStore(directory="a/b")
    monkeypatch.chdir("/")
    async with store:
        await store.put("key", {"n": 1})
    assert (tmp_path / "a/b" / FILE).exists()
    assert repr(store) == f"DiskStore('{tmp_path}/a/b')"


async def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with DiskStore(directory="~/store"):
        assert (tmp_path / "store" / FILE).exists()


async def test_created_files_and_directories_are_private_to_the_user(tmp_path: Path) -> None:
    async with (
        DiskStore(directory=tmp_path / "a/store") as store,
        MultiDiskStore(base_directory=tmp_path / "b") as other,
    ):
        await store.put("key", {"secret": 1})
        await other.put("key", {"secret": 1})
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in below(tmp_path)}
    assert {name: modes[name] for name in modes.keys() - {"a", "b"}} == {
        "store": 0o700,
        "default_collection": 0o700,
        FILE: 0o600,
        f"{FILE}-wal": 0o600,
        f"{FILE}-shm": 0o600,
    }


@pytest.mark.parametrize(("store_class", "name"), [(DiskStore, "directory"), (MultiDiskStore, "base_directory")])
async def test_without_auto_create_the_directory_must_exist(tmp_path: Path, store_class: Any, name: str) -> None:
    store: Any = store_class(**{name: tmp_path / "absent"}, auto_create=False)
    with pytest.raises(StoreSetupError, match=r"/absent.*: No such file or directory; with auto_create=False"):
        await store.put("key", {})
    assert names_in(tmp_path) == []
    (tmp_path / "absent").mkdir()
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    await store.close()


@pytest.mark.parametrize("mode", [0o644, 0o755], ids=oct)
@pytest.mark.parametrize("options", [{}, {"auto_create": False}], ids=["create", "required"])
@pytest.mark.parametrize("store_type", [DiskStore, MultiDiskStore])
async def test_a_path_that_is_a_file_is_named(
    tmp_path: Path, store_type: type[DiskStore | MultiDiskStore], options: dict[str, Any], mode: int
) -> None:
    file = tmp_path / "file"
    file.write_text("text")
    file.chmod(mode)
    store = store_type(path=file, **options)
    for call in (store.setup, partial(store.get, "key"), partial(store.put, "key", {})):
        with pytest.raises(StoreSetupError, match=f"^{file} is not a directory; the store needs one there$"):
            await call()
    assert file.read_text() == "text"
    await store.close()


async def test_a_path_below_a_file_or_at_a_dangling_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("absent")
    with pytest.raises(StoreSetupError, match=f"the directory {tmp_path}/file/below: Not a directory"):
        await DiskStore(path=tmp_path / "file/below").get("key")
    with pytest.raises(StoreSetupError, match=f"{tmp_path}/link is not a directory"):
        await DiskStore(path=tmp_path / "link").get("key")


async def test_the_directory_of_a_collection_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("text")
    async with MultiDiskStore(path=tmp_path) as store:
        with pytest.raises(StoreSetupError, match=f"{tmp_path}/users is not a directory"):
            await store.put("key", {}, collection="users")


async def test_a_read_only_directory_is_named(forbidden: Path) -> None:
    with pytest.raises(StoreSetupError, match=f"the directory {forbidden}: Permission denied"):
        await DiskStore(directory=forbidden).setup()


async def test_a_file_that_is_not_a_database_is_named_and_kept(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("text" * 1000)
    with pytest.raises(StoreSetupError, match=f"{tmp_path}/{FILE}: file is not a database"):
        await DiskStore(directory=tmp_path).put("key", {})
    assert (tmp_path / FILE).read_text() == "text" * 1000


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("CREATE TABLE theirs (n)", "is a database of another application"),
        ("PRAGMA application_id = 7", "is a database of another application"),
        ("PRAGMA user_version = 2", "has format version 2; this library reads version 1"),
    ],
)
async def test_a_database_of_another_kind_is_named(tmp_path: Path, execute: Execute, sql: str, message: str) -> None:
    if "version" in sql:
        async with DiskStore(directory=tmp_path) as store:
            await store.put("key", {})
    execute(tmp_path, sql)
    before = execute(tmp_path, "SELECT sql FROM sqlite_master")
    with pytest.raises(StoreSetupError, match=f"{FILE} {message}"):
        await DiskStore(directory=tmp_path).get("key")
    assert execute(tmp_path, "SELECT sql FROM sqlite_master") == before


async def test_a_directory_that_failed_to_open_can_be_opened_later(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    store = DiskStore(directory=tmp_path / "store")
    with pytest.raises(StoreSetupError):
        await store.setup()
    (tmp_path / "store").unlink()
    await store.put("key", {"n": 1})
    assert await store.get("key") == {"n": 1}
    await store.close()


@pytest.mark.parametrize(("durability", "synchronous"), [("normal", "NORMAL"), ("full", "FULL")])
async def test_durability_sets_how_sqlite_synchronizes(
    tmp_path: Path, durability: Durability, synchronous: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[str] = []
    connect: Any = sqlite3.connect

    def connect_and_trace(*args: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*args, **options)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(sqlite3, "connect", connect_and_trace)
    async with DiskStore(directory=tmp_path, durability=durability):
        pass
    assert f"PRAGMA synchronous = {synchronous}" in statements


async def test_collections_of_a_multi_disk_store_have_directories_of_their_own(
    tmp_path: Path, execute: Execute
) -> None:
    names = {
        "users": "users",
        "mcp:oauth": "mcp%3Aoauth",
        "a/b": "a%2Fb",
        "..": "%2E%2E",
        "con": "%63%6F%6E",
        "50%": "50%",
    }
    async with MultiDiskStore(base_directory=tmp_path) as store:
        for collection in names:
            await store.put("key", {"of": collection}, collection=collection)
        assert names_in(tmp_path) == sorted(names.values())
        for collection, directory in names.items():
            assert execute(tmp_path / directory, "SELECT collection, key FROM entries") == [(collection, "key")]
        assert sorted(await store.collections()) == sorted(names)
    async with MultiDiskStore(base_directory=tmp_path) as store:
        assert sorted(await store.collections()) == sorted(names)
        assert await store.destroy() is True
        assert await store.collections() == []


async def test_a_collection_whose_name_is_longer_than_a_file_name_is_listed(tmp_path: Path) -> None:
    names = ["n" * 300, "n" * 301]
    async with MultiDiskStore(base_directory=tmp_path) as store:
        for name in names:
            await store.put("key", {"of": name}, collection=name)
        assert sorted(await store.collections()) == names
        assert [await store.get("key", collection=name) for name in names] == [{"of": name} for name in names]


async def test_closing_the_store_removes_the_working_files_of_sqlite(tmp_path: Path) -> None:
    store = DiskStore(directory=tmp_path)
    await store.put("key", {})
    await store.get("key")
    await store.close()
    assert names_in(tmp_path) == [FILE]


async def test_a_write_that_waits_too_long_for_another_process_times_out(tmp_path: Path) -> None:
    async with DiskStore(directory=tmp_path, timeout=0.2) as store:
        await store.put("key", {"n": 1})
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreConnectionError, match=f"{FILE}: database is locked") as caught:
                await store.put("key", {"n": 2})
            assert isinstance(caught.value, TimeoutError)
            assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
            assert await store.get("key") == {"n": 1}
            other.execute("ROLLBACK")
        await store.put("key", {"n": 3})
        assert await store.get("key") == {"n": 3}


@pytest.mark.parametrize("timeout", [float("inf"), 1e10, 10**400], ids=["inf", "1e10", "int"])
async def test_a_write_waits_however_large_the_time_limit_is(tmp_path: Path, timeout: float) -> None:
    async with DiskStore(path=tmp_path, timeout=timeout) as store:
        with closing(sqlite3.connect(tmp_path / FILE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            put = asyncio.create_task(store.put("key", {"n": 1}))
            await asyncio.wait([put], timeout=0.2)
            other.execute("ROLLBACK")
        await put
        assert await store.get("key") == {"n": 1}
