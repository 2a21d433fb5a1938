"""MultiDiskStore with more collections than a process may open files."""

from __future__ import annotations

import asyncio
import gc
import resource
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.stores.disk import MultiDiskStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Execute, Lock

MAX_FILES = 256
MAX_THREADS = 9


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.fixture
def few_files() -> Iterator[None]:
    """Allow as many files as `ulimit -n 256`, in addition to those that the test runner has open."""
    gc.collect()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + MAX_FILES - 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("few_files")
async def test_many_collections_are_used_at_once_with_few_files_and_threads(tmp_path: Path) -> None:
    threads, files = threading.active_count(), open_files()
    names = [f"session-{number}" for number in range(500)]
    async with MultiDiskStore(base_directory=tmp_path) as store:
        await asyncio.gather(*(store.put("key", {"of": name}, collection=name) for name in names))
        found = await asyncio.gather(*(store.get("key", collection=name) for name in names))
        assert found == [{"of": name} for name in names]
        assert sorted(await store.collections()) == sorted(names)
        assert threading.active_count() - threads <= MAX_THREADS
        assert open_files() - files <= 200
    # The threads of closed databases are about to end.
    for thread in threading.enumerate():
        if thread.name == "key-value":
            thread.join(60)
    assert threading.active_count() == threads
    assert open_files() == files


@pytest.mark.usefixtures("few_files")
async def test_absent_collections_leave_no_file_thread_or_directory(tmp_path: Path) -> None:
    threads = threading.active_count()
    async with MultiDiskStore(base_directory=tmp_path) as store:
        files = open_files()
        for number in range(500):
            name = f"session-{number}"
            assert await store.get("key", collection=name) is None
            assert await store.keys(name) == []
            assert await store.delete("key", collection=name) is False
            assert await store.destroy_collection(name) is False
        assert names_in(tmp_path) == []
        assert threading.active_count() - threads <= MAX_THREADS
        assert open_files() - files <= 20


async def test_a_collection_created_by_another_process_is_found(tmp_path: Path) -> None:
    async with MultiDiskStore(base_directory=tmp_path) as store, MultiDiskStore(base_directory=tmp_path) as other:
        assert await store.get("key", collection="new") is None
        await other.put("key", {"n": 1}, collection="new")
        assert await store.get("key", collection="new") == {"n": 1}


async def test_concurrent_puts_and_deletes_run_in_the_order_of_the_calls(tmp_path: Path) -> None:
    async with MultiDiskStore(base_directory=tmp_path) as store:
        calls: list[Any] = [store.delete("key"), store.put("key", {}), store.delete("key"), store.delete("key")]
        assert await asyncio.gather(*calls) == [False, None, True, False]


async def test_uses_of_collections_closed_in_the_meantime_are_recorded(tmp_path: Path, execute: Execute) -> None:
    names = [f"c{number}" for number in range(60)]
    async with MultiDiskStore(base_directory=tmp_path, max_size=1_000_000) as store:
        for name in names:
            await store.put("key", {}, collection=name)
        before = [execute(tmp_path / name, "SELECT used_at FROM entries") for name in names]
    async with MultiDiskStore(base_directory=tmp_path, max_size=1_000_000) as store:
        for name in names:
            assert await store.get("key", collection=name) == {}
    after = [execute(tmp_path / name, "SELECT used_at FROM entries") for name in names]
    assert all(new > old for old, new in zip(before, after, strict=True))


async def test_a_database_that_cannot_be_opened_does_not_affect_other_collections(tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/key-value.db").write_text("text" * 1000)
    async with MultiDiskStore(base_directory=tmp_path) as store:
        names = ["broken", *(f"c{number}" for number in range(20))]
        outcomes = await asyncio.gather(
            *(store.put("key", {}, collection=name) for name in names), return_exceptions=True
        )
        assert [name for name, outcome in zip(names, outcomes, strict=True) if outcome is not None] == ["broken"]
        assert str(tmp_path / "broken") in str(outcomes[0])


async def test_a_locked_collection_does_not_block_collections_of_other_threads(tmp_path: Path, lock: Lock) -> None:
    async with MultiDiskStore(base_directory=tmp_path, timeout=30) as store:
        names = [f"c{number}" for number in range(8)]
        for name in names:
            await store.put("key", {}, collection=name)
        with lock(tmp_path / "c0"):
            puts = {name: asyncio.ensure_future(store.put("key", {"n": 1}, collection=name)) for name in names}
            done, _ = await asyncio.wait(puts.values(), timeout=20, return_when=asyncio.FIRST_COMPLETED)
            assert done
            assert not puts["c0"].done()
        await asyncio.gather(*puts.values())
