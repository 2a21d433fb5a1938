"""A directory that is removed, moved or replaced while stores have it open."""

from __future__ import annotations

import asyncio
import shutil
import stat
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.stores.disk.database import SQLiteDatabase

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from conftest import Execute

    Make = Callable[..., DiskStore | MultiDiskStore]
    Remove = Callable[[Path], object]

FILE = "key-value.db"


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def found(directory: Path, name: str) -> list[Path]:
    return list(directory.rglob(name))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def make_directory(directory: Path) -> None:
    directory.mkdir()


def allow(path: Path, mode: int) -> None:
    path.chmod(mode)


def remove_file(directory: Path) -> None:
    for file in directory.rglob(FILE):
        file.unlink()


def empty(directory: Path) -> None:
    shutil.rmtree(directory)
    directory.mkdir()


def move(directory: Path) -> None:
    directory.rename(directory.with_name("moved"))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture(params=[DiskStore, MultiDiskStore])
def make(request: pytest.FixtureRequest, directory: Path) -> Make:
    name = "directory" if request.param is DiskStore else "base_directory"
    store_class: type[Any] = request.param

    def new(**options: Any) -> DiskStore | MultiDiskStore:
        return store_class(**{name: directory}, **options)

    return new


@pytest.fixture
async def store(make: Make) -> AsyncIterator[Any]:
    async with make() as store:
        await store.put("key", {"n": 1})
        assert await store.get("key") == {"n": 1}
        yield store


@pytest.fixture(params=[shutil.rmtree, empty, move, remove_file])
def remove(request: pytest.FixtureRequest) -> Remove:
    return request.param


async def in_another_store(make: Make, key: str) -> Any:
    async with make() as other:
        return await other.get(key)


async def test_removed_entries_are_absent_and_reading_creates_nothing(store: Any, directory: Path) -> None:
    version = (await store.get_versioned("key")).version
    shutil.rmtree(directory)
    assert await store.get("key") is None
    assert await store.get_many(["key"]) == [None]
    assert await store.keys() == []
    assert (await store.get_versioned("key")).version is None
    assert await store.delete("key") is False
    assert await store.destroy_collection("default_collection") is False
    assert await store.delete_if_version("key", version) is False
    assert await store.put_if_version("key", {}, version) is False
    assert names_in(directory.parent) == []


async def test_writes_after_the_removal_are_visible_to_every_store(
    store: Any, make: Make, directory: Path, remove: Remove
) -> None:
    remove(directory)
    await store.put("token", {"n": 2})
    assert await store.get("token") == {"n": 2}
    assert await store.keys() == ["token"]
    assert await in_another_store(make, "token") == {"n": 2}
    await store.close()
    assert await in_another_store(make, "token") == {"n": 2}
    assert {mode_of(file) for file in found(directory, FILE)} == {0o600}


async def test_every_kind_of_write_goes_to_the_current_file_at_the_path(
    store: Any, make: Make, directory: Path, remove: Remove
) -> None:
    version = (await store.get_versioned("key")).version
    remove(directory)
    assert await store.put_if_version("key", {"n": 2}, version) is False
    assert await store.put_if_absent("key", {"n": 3}) is True
    assert await in_another_store(make, "key") == {"n": 3}
    remove_file(directory)
    await store.put_many(["a", "b"], [{"n": 4}, {"n": 5}])
    assert await in_another_store(make, "b") == {"n": 5}


async def test_a_store_that_has_not_read_yet_needs_no_close(make: Make, directory: Path) -> None:
    async with make() as store:
        await store.put("key", {"n": 1})
        shutil.rmtree(directory)
        assert await store.get("key") is None
        async with make() as other:
            await other.put("key", {"n": 2})
            assert await store.get("key") == {"n": 2}


async def test_a_replacement_directory_is_read(store: Any, make: Make, directory: Path) -> None:
    await store.close()
    shutil.copytree(directory, directory.with_name("backup"))
    await store.put("key", {"n": 2})
    shutil.rmtree(directory)
    shutil.move(directory.with_name("backup"), directory)
    assert await store.get("key") == {"n": 1}
    await store.put("other", {"n": 3})
    assert await in_another_store(make, "key") == {"n": 1}
    assert await in_another_store(make, "other") == {"n": 3}


async def test_a_removal_between_a_write_and_its_commit_loses_no_acknowledged_entry(
    store: Any, make: Make, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SQLiteDatabase.commit
    removals: list[Path] = []

    def remove_and_commit(database: SQLiteDatabase) -> None:
        if not removals:
            removals.append(directory)
            shutil.rmtree(directory)
        commit(database)

    monkeypatch.setattr(SQLiteDatabase, "commit", remove_and_commit)
    await asyncio.gather(*(store.put(f"{number}", {"n": number}) for number in range(20)))
    assert removals
    async with make() as other:
        assert await other.get_many([f"{number}" for number in range(20)]) == [{"n": number} for number in range(20)]


async def test_setup_recreates_the_directory(store: Any, directory: Path) -> None:
    shutil.rmtree(directory)
    await store.setup()
    assert mode_of(directory) == 0o700
    await store.put("key", {"n": 2})
    assert await store.get("key") == {"n": 2}


async def test_without_auto_create_a_removed_directory_is_an_error_until_it_exists(make: Make, directory: Path) -> None:
    make_directory(directory)
    async with make(auto_create=False) as store:
        await store.put("key", {"n": 1})
        shutil.rmtree(directory)
        for call in (store.put("key", {"n": 2}), store.setup()):
            with pytest.raises(
                StoreSetupError, match=f"{directory}: No such file or directory; with auto_create=False"
            ):
                await call
        assert names_in(directory.parent) == []
        make_directory(directory)
        await store.setup()
        await store.put("key", {"n": 3})
        assert await store.get("key") == {"n": 3}


async def test_a_file_in_place_of_the_directory_is_an_error(store: Any, directory: Path) -> None:
    shutil.rmtree(directory)
    directory.with_name("file").write_text("text")
    directory.with_name("file").rename(directory)
    for call in (store.put("key", {"n": 2}), store.setup()):
        with pytest.raises(StoreSetupError, match=f"{directory}"):
            await call
    assert (directory.parent / directory.name).read_text() == "text"


async def test_closing_a_store_keeps_other_stores_files_in_a_recreated_directory(
    store: Any, make: Make, directory: Path
) -> None:
    shutil.rmtree(directory)
    async with make() as other:
        await other.put("key", {"n": 2})
        await other.get("key")
        await store.close()
        assert len(found(directory, f"{FILE}-wal")) == 1
        await other.put("key", {"n": 3})
        assert await in_another_store(make, "key") == {"n": 3}


async def test_uses_of_a_removed_database_do_not_count_for_its_replacement(tmp_path: Path, execute: Execute) -> None:
    async with DiskStore(directory=tmp_path / "cache", max_size=1_000_000) as store:
        await store.put("key", {"n": 1})
        await store.get("key")
        shutil.rmtree(tmp_path / "cache")
        await store.put("new", {})
        used_at = execute(tmp_path / "cache", "SELECT used_at FROM entries")
        await store.put("other", {})
        assert execute(tmp_path / "cache", "SELECT used_at FROM entries WHERE key = 'new'") == used_at


@pytest.mark.parametrize(("store_class", "name"), [(DiskStore, "directory"), (MultiDiskStore, "base_directory")])
async def test_setup_checks_that_the_directory_is_writable(own: Path, store_class: Any, name: str) -> None:
    async with store_class(**{name: own}) as store:
        await store.put("key", {})
        allow(own, 0o555)
        with pytest.raises(StoreSetupError, match=f"the directory {own}: Permission denied"):
            await store.setup()
        allow(own, 0o700)
        await store.setup()


async def test_removing_only_the_log_loses_no_acknowledged_entry(store: Any, make: Make, directory: Path) -> None:
    await store.put("before", {"n": 1})
    for name in (f"{FILE}-wal", f"{FILE}-shm"):
        for file in found(directory, name):
            file.unlink()
    assert await store.put_if_absent("after", {"n": 2}) is True
    assert await store.get_many(["before", "after"]) == [{"n": 1}, {"n": 2}]
    async with make() as other:
        assert await other.get_many(["before", "after"]) == [{"n": 1}, {"n": 2}]
        await other.put("other", {"n": 3})
        assert await store.get("other") == {"n": 3}
        await store.put("last", {"n": 4})
        assert await other.get("last") == {"n": 4}
