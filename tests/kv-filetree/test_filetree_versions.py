"""Conditional writes against each other, plain writes and writers that do not lock."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.filetree import FileTreeStore, directory, exchange
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.testing import FakeClock
from rivals import version_of

from .trees import COLLECTION, files_in, names_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

LONG_AGO = "2026-11-23T09:03:14.747910+00:00"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileTreeStore]:
    async with FileTreeStore(data_directory=tmp_path) as store:
        yield store


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


@pytest.fixture
def names_can_be_exchanged(tmp_path: Path) -> None:
    """Skip where the system or the file system cannot exchange two names."""
    for name in ("a", "b"):
        (tmp_path / name).touch()
    descriptor = os.open(tmp_path, os.O_RDONLY)
    try:
        if not exchange.exchange(descriptor, "a", "b"):
            pytest.skip("this system or file system does not exchange names")
    finally:
        os.close(descriptor)
        for name in ("a", "b"):
            (tmp_path / name).unlink()


@pytest.fixture(params=["exchanged", "renamed"])
def replacement(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with both ways of replacing a file: exchanging names on Linux, and renaming."""
    if request.param == "renamed":

        def exchange_nothing(*_: object) -> bool:
            return False

        monkeypatch.setattr(directory, "exchange", exchange_nothing)


def put_without_lock(tree: Path, key: str, number: int, **fields: str) -> None:
    """Write as py-key-value-aio 0.5.0 does (seen by strace): rename a temporary file, without a lock."""
    entry = {"created_at": LONG_AGO, "value": {"n": number}, "version": 1, **fields}
    temporary = tree / COLLECTION / "tmpxooc_o84.tmp"
    temporary.write_text(json.dumps(entry, sort_keys=True))
    temporary.rename(tree / COLLECTION / f"{key}.json")


# Versions


async def test_the_version_changes_with_every_write_of_an_equal_value(store: FileTreeStore) -> None:
    versions: list[str] = []
    for _ in range(50):
        await store.put("ada", {"n": 1})
        versions.append(await version_of(store, "ada"))
    assert len(set(versions)) == 50


@pytest.mark.usefixtures("clock")
async def test_writing_an_equal_value_at_the_same_moment_changes_the_version(store: FileTreeStore) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    await store.put("ada", {"n": 1})
    assert await version_of(store, "ada") != version


async def test_a_write_without_lock_is_noticed(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    put_without_lock(tmp_path, "ada", 2)
    assert await store.put_if_version("ada", {"n": 3}, version) is False
    assert await store.delete_if_version("ada", version) is False
    assert await store.get("ada") == {"n": 2}


async def test_writing_a_file_in_place_changes_its_version(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    file = tmp_path / COLLECTION / "ada.json"
    status = file.stat()
    file.write_text(file.read_text().replace('{"n":1}', '{"n":2}'))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert await version_of(store, "ada") != version


async def test_a_version_outlives_the_store(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    async with FileTreeStore(data_directory=tmp_path) as other:
        assert await other.put_if_version("ada", {"n": 2}, await version_of(store, "ada")) is True


@pytest.mark.usefixtures("replacement")
async def test_conditional_writes_leave_no_other_file(store: FileTreeStore, tmp_path: Path, clock: FakeClock) -> None:
    assert await store.put_if_absent("ada", {"n": 1}, ttl=1) is True
    assert await store.put_if_absent("ada", {"n": 2}) is False
    clock.advance(2)
    assert await store.put_if_absent("ada", {"n": 3}) is True
    assert await store.put_if_version("ada", {"n": 4}, await version_of(store, "ada")) is True
    assert files_in(tmp_path) == ["ada.json"]
    assert (tmp_path / COLLECTION / "ada.json").stat().st_nlink == 1
    assert await store.delete_if_version("ada", await version_of(store, "ada")) is True
    assert files_in(tmp_path) == []


async def test_a_version_of_a_removed_collection_creates_no_directory(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    await store.destroy_collection(COLLECTION)
    assert await store.put_if_version("ada", {"n": 2}, version) is False
    assert await store.delete_if_version("ada", version) is False
    assert names_in(tmp_path) == []


async def test_an_entry_under_an_older_spelling_is_replaced_and_removed_by_its_version(
    store: FileTreeStore, tmp_path: Path
) -> None:
    await store.put("bob", {"n": 0})
    put_without_lock(tmp_path, "a\\b", 1)
    assert await store.put_if_absent("a\\b", {"n": 2}) is False
    assert await store.put_if_version("a\\b", {"n": 2}, await version_of(store, "a\\b")) is True
    assert files_in(tmp_path) == ["a%5Cb.json", "bob.json"]
    put_without_lock(tmp_path, "c\\d", 1)
    assert await store.delete_if_version("c\\d", await version_of(store, "c\\d")) is True
    assert files_in(tmp_path) == ["a%5Cb.json", "bob.json"]


# Writes without lock between check and write


def between(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None]) -> None:
    """Act once before `step`, a method of Directory or a function of its module."""
    place: Any = Directory if hasattr(Directory, step) else directory
    original = getattr(place, step)

    def stepped(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(place, step, original)
        act()
        return original(*args, **kwargs)

    monkeypatch.setattr(place, step, stepped)


@pytest.mark.parametrize("step", ["_write_temporary", "_replace_unchanged", "exchange"])
@pytest.mark.usefixtures("names_can_be_exchanged")
async def test_a_write_without_lock_after_the_check_is_not_overwritten(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    between(monkeypatch, step, lambda: put_without_lock(tmp_path, "ada", 2))
    assert await store.put_if_version("ada", {"n": 3}, version) is False
    assert await store.get("ada") == {"n": 2}
    assert files_in(tmp_path) == ["ada.json"]


@pytest.mark.usefixtures("names_can_be_exchanged")
async def test_the_last_of_several_writes_without_lock_around_an_exchange_stays(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")
    numbers = iter((2, 3, 4))
    original = exchange.exchange

    def exchange_after_a_put(*args: Any) -> bool:
        number = next(numbers, None)
        if number is not None:
            put_without_lock(tmp_path, "ada", number)
        return original(*args)

    monkeypatch.setattr(directory, "exchange", exchange_after_a_put)
    assert await store.put_if_version("ada", {"n": 9}, version) is False
    assert await store.get("ada") == {"n": 4}
    assert files_in(tmp_path) == ["ada.json"]


@pytest.mark.usefixtures("replacement")
async def test_a_first_write_without_lock_is_not_overwritten_by_put_if_absent(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("bob", {"n": 1})
    between(monkeypatch, "_link_new", lambda: put_without_lock(tmp_path, "ada", 2))
    assert await store.put_if_absent("ada", {"n": 3}) is False
    assert await store.get("ada") == {"n": 2}


@pytest.mark.parametrize("method", ["delete_if_version", "delete", "cull"])
async def test_a_write_without_lock_after_the_check_is_not_removed(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, method: str
) -> None:
    await store.put("ada", {"n": 1}, ttl=10)
    version = await version_of(store, "ada")
    if method != "delete_if_version":
        clock.advance(20)
    between(monkeypatch, "remove_if", lambda: put_without_lock(tmp_path, "ada", 2))
    arguments = {"delete_if_version": ("ada", version), "delete": ("ada",), "cull": ()}[method]
    assert not await getattr(store, method)(*arguments)
    assert await store.get("ada") == {"n": 2}
    assert files_in(tmp_path) == ["ada.json"]


async def test_a_temporary_file_removed_in_the_meantime_is_written_again(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store, "ada")

    def remove_temporaries() -> None:
        for path in (tmp_path / COLLECTION).glob(".*.tmp"):
            path.unlink()

    between(monkeypatch, "exchange", remove_temporaries)
    assert await store.put_if_version("ada", {"n": 2}, version) is True
    assert await store.get("ada") == {"n": 2}
