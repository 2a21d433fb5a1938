"""Conditional writes, against each other, plain writes, other processes and those who take no lock."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import StoreSetupError, StoreTimeoutError
from key_value.aio.stores.filetree import FileTreeStore, directory, exchange, locks
from key_value.aio.stores.filetree.directory import Directory
from key_value.aio.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

COLLECTION = "default_collection"
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
    """Whether the system and the file system offer it."""
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
    """Both ways to replace a file: that of Linux, and that of other systems."""
    if request.param == "renamed":

        def exchange_nothing(*_: object) -> bool:
            return False

        monkeypatch.setattr(directory, "exchange", exchange_nothing)


def put_as_others(tree: Path, key: str, number: int, **fields: str) -> None:
    """As py-key-value-aio 0.5.0 does by strace: a temporary file is renamed, and nothing is locked."""
    entry = {"created_at": LONG_AGO, "value": {"n": number}, "version": 1, **fields}
    temporary = tree / COLLECTION / "tmpxooc_o84.tmp"
    temporary.write_text(json.dumps(entry, sort_keys=True))
    temporary.rename(tree / COLLECTION / f"{key}.json")


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def files_in(tree: Path) -> list[str]:
    return names_in(tree / COLLECTION)


async def version_of(store: FileTreeStore, key: str = "ada") -> str:
    version = (await store.get_versioned(key)).version
    assert version is not None
    return version


# Versions


async def test_the_version_changes_with_every_write_of_an_equal_value(store: FileTreeStore) -> None:
    versions: list[str] = []
    for _ in range(50):
        await store.put("ada", {"n": 1})
        versions.append(await version_of(store))
    assert len(set(versions)) == 50


@pytest.mark.usefixtures("clock")
async def test_the_version_changes_with_a_write_of_an_equal_value_at_the_same_moment(store: FileTreeStore) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    await store.put("ada", {"n": 1})
    assert await version_of(store) != version


async def test_a_write_of_others_is_noticed(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    put_as_others(tmp_path, "ada", 2)
    assert await store.put_if_version("ada", {"n": 3}, version) is False
    assert await store.delete_if_version("ada", version) is False
    assert await store.get("ada") == {"n": 2}


async def test_a_file_that_is_written_in_place_has_another_version(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    file = tmp_path / COLLECTION / "ada.json"
    status = file.stat()
    file.write_text(file.read_text().replace('{"n":1}', '{"n":2}'))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert await version_of(store) != version


async def test_a_version_outlives_the_store(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    async with FileTreeStore(data_directory=tmp_path) as other:
        assert await other.put_if_version("ada", {"n": 2}, await version_of(store)) is True


@pytest.mark.usefixtures("replacement")
async def test_conditional_writes_leave_no_other_file(store: FileTreeStore, tmp_path: Path, clock: FakeClock) -> None:
    assert await store.put_if_absent("ada", {"n": 1}, ttl=1) is True
    assert await store.put_if_absent("ada", {"n": 2}) is False
    clock.advance(2)
    assert await store.put_if_absent("ada", {"n": 3}) is True
    assert await store.put_if_version("ada", {"n": 4}, await version_of(store)) is True
    assert files_in(tmp_path) == ["ada.json"]
    assert (tmp_path / COLLECTION / "ada.json").stat().st_nlink == 1
    assert await store.delete_if_version("ada", await version_of(store)) is True
    assert files_in(tmp_path) == []


async def test_a_version_of_a_collection_that_is_gone_makes_no_directory(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    await store.destroy_collection(COLLECTION)
    assert await store.put_if_version("ada", {"n": 2}, version) is False
    assert await store.delete_if_version("ada", version) is False
    assert names_in(tmp_path) == []


async def test_an_entry_under_an_older_spelling_is_replaced_and_removed_by_its_version(
    store: FileTreeStore, tmp_path: Path
) -> None:
    await store.put("bob", {"n": 0})
    put_as_others(tmp_path, "a\\b", 1)
    assert await store.put_if_absent("a\\b", {"n": 2}) is False
    assert await store.put_if_version("a\\b", {"n": 2}, await version_of(store, "a\\b")) is True
    assert files_in(tmp_path) == ["a%5Cb.json", "bob.json"]
    put_as_others(tmp_path, "c\\d", 1)
    assert await store.delete_if_version("c\\d", await version_of(store, "c\\d")) is True
    assert files_in(tmp_path) == ["a%5Cb.json", "bob.json"]


# Others between the look and the write


def between(monkeypatch: pytest.MonkeyPatch, step: str, act: Callable[[], None]) -> None:
    """Act once before the step, a method of Directory or a function of its module."""
    place: Any = Directory if hasattr(Directory, step) else directory
    original = getattr(place, step)

    def stepped(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(place, step, original)
        act()
        return original(*args, **kwargs)

    monkeypatch.setattr(place, step, stepped)


@pytest.mark.parametrize("step", ["_write_temporary", "_swap", "exchange"])
@pytest.mark.usefixtures("names_can_be_exchanged")
async def test_a_write_of_others_after_the_look_is_not_overwritten(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    between(monkeypatch, step, lambda: put_as_others(tmp_path, "ada", 2))
    assert await store.put_if_version("ada", {"n": 3}, version) is False
    assert await store.get("ada") == {"n": 2}
    assert files_in(tmp_path) == ["ada.json"]


@pytest.mark.usefixtures("names_can_be_exchanged")
async def test_of_several_writes_of_others_around_an_exchange_the_last_stays(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)
    numbers = iter((2, 3, 4))
    original = exchange.exchange

    def exchange_after_a_put(*args: Any) -> bool:
        number = next(numbers, None)
        if number is not None:
            put_as_others(tmp_path, "ada", number)
        return original(*args)

    monkeypatch.setattr(directory, "exchange", exchange_after_a_put)
    assert await store.put_if_version("ada", {"n": 9}, version) is False
    assert await store.get("ada") == {"n": 4}
    assert files_in(tmp_path) == ["ada.json"]


@pytest.mark.usefixtures("replacement")
async def test_a_first_write_of_others_is_not_overwritten_by_put_if_absent(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("bob", {"n": 1})
    between(monkeypatch, "_place", lambda: put_as_others(tmp_path, "ada", 2))
    assert await store.put_if_absent("ada", {"n": 3}) is False
    assert await store.get("ada") == {"n": 2}


@pytest.mark.parametrize("method", ["delete_if_version", "delete", "cull"])
async def test_a_write_of_others_after_the_look_is_not_removed(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: FakeClock, method: str
) -> None:
    await store.put("ada", {"n": 1}, ttl=10)
    version = await version_of(store)
    if method != "delete_if_version":
        clock.advance(20)
    between(monkeypatch, "remove_if", lambda: put_as_others(tmp_path, "ada", 2))
    arguments = {"delete_if_version": ("ada", version), "delete": ("ada",), "cull": ()}[method]
    assert not await getattr(store, method)(*arguments)
    assert await store.get("ada") == {"n": 2}
    assert files_in(tmp_path) == ["ada.json"]


async def test_a_temporary_file_that_is_removed_meanwhile_is_written_again(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.put("ada", {"n": 1})
    version = await version_of(store)

    def remove_temporaries() -> None:
        for path in (tmp_path / COLLECTION).glob(".*.tmp"):
            path.unlink()

    between(monkeypatch, "exchange", remove_temporaries)
    assert await store.put_if_version("ada", {"n": 2}, version) is True
    assert await store.get("ada") == {"n": 2}


# Many at once

WORKER = """
import asyncio, sys
from key_value.aio.stores.filetree import FileTreeStore

async def increment(store, times):
    for _ in range(times):
        while True:
            value, _, version = await store.get_versioned("count")
            if await store.put_if_version("count", {"n": (value or {"n": 0})["n"] + 1}, version):
                break

async def claim(store, times):
    return sum([await store.put_if_absent(f"claim {n}", {"n": n}) for n in range(times)])

async def take(store, times):
    return sum([await store.delete(f"code {n}") for n in range(times)])

async def main(path, work, times):
    async with FileTreeStore(data_directory=path) as store:
        sys.stdin.readline()
        print(await {"increment": increment, "claim": claim, "take": take}[work](store, times))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


def run_in_processes(tree: Path, work: str, times: int) -> list[str]:
    """What four processes print that begin at the same moment."""
    processes = [
        subprocess.Popen(  # noqa: S603 — this interpreter
            [sys.executable, "-c", WORKER, str(tree), work, str(times)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=250)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    return outputs


async def test_increments_of_four_processes_are_exact(store: FileTreeStore, tmp_path: Path) -> None:
    await asyncio.to_thread(run_in_processes, tmp_path, "increment", 50)
    assert await store.get("count") == {"n": 200}
    assert files_in(tmp_path) == ["count.json"]


async def test_of_four_processes_that_put_if_absent_one_wins(tmp_path: Path) -> None:
    outputs = await asyncio.to_thread(run_in_processes, tmp_path, "claim", 100)
    assert sum(map(int, outputs)) == 100


async def test_of_four_processes_that_delete_one_wins(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put_many([f"code {number}" for number in range(100)], [{"n": 1}] * 100)
    outputs = await asyncio.to_thread(run_in_processes, tmp_path, "take", 100)
    assert sum(map(int, outputs)) == 100


async def test_of_fifty_that_delete_at_once_one_wins(tmp_path: Path) -> None:
    stores = [FileTreeStore(data_directory=tmp_path) for _ in range(5)]
    for conditional in (False, True):
        await stores[0].put("ada", {"n": 1})
        version = await version_of(stores[0])
        won = await asyncio.gather(
            *(
                stores[number % 5].delete_if_version("ada", version)
                if conditional
                else stores[number % 5].delete("ada")
                for number in range(50)
            )
        )
        assert sorted(won) == [False] * 49 + [True]
    await asyncio.gather(*(store.close() for store in stores))


async def test_an_expired_entry_has_one_heir_while_it_is_culled_and_deleted(tmp_path: Path) -> None:
    stores = [FileTreeStore(data_directory=tmp_path) for _ in range(4)]
    for _ in range(30):
        await stores[0].put("ada", {"n": 0}, ttl=0.001)
        await asyncio.sleep(0.002)
        won = await asyncio.gather(
            stores[0].put_if_absent("ada", {"n": 1}),
            stores[1].put_if_absent("ada", {"n": 2}),
            stores[2].cull(),
            stores[3].cull(),
        )
        assert won.count(True) == 1
        assert await stores[0].get("ada") == {"n": 1 if won[0] else 2}
        await stores[0].delete("ada")
    await asyncio.gather(*(store.close() for store in stores))


# Locks


HOLDER = """
import sys, time
from key_value.aio.stores.filetree.directory import Directory
with Directory(sys.argv[1]) as directory, directory.locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def hold(tree: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(  # noqa: S603 — this interpreter
        [sys.executable, "-c", HOLDER, str(tree / COLLECTION)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    return holder


async def test_a_killed_holder_leaves_nothing_locked(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    holder = await asyncio.to_thread(hold, tmp_path)
    waiting = asyncio.create_task(store.put_if_version("ada", {"n": 2}, await version_of(store)))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    holder.send_signal(signal.SIGKILL)
    assert await waiting is True
    holder.communicate()


async def test_a_holder_that_was_stopped_is_a_timeout_that_says_so(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "_LOCK_WAIT_SECONDS", 0.05)
    await store.put("ada", {"n": 1})
    holder = await asyncio.to_thread(hold, tmp_path)
    try:
        assert await store.get("ada") == {"n": 1}
        with pytest.raises(StoreTimeoutError, match=r"locked.*0\.05 s"):
            await store.put("ada", {"n": 2})
        assert files_in(tmp_path) == ["ada.json"]
    finally:
        holder.kill()
        holder.communicate()
    await store.put("ada", {"n": 2})
    assert await store.get("ada") == {"n": 2}


def test_a_process_forked_under_the_lock_does_not_keep_it(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with Directory(str(tmp_path)) as opened, opened.locked():
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    try:
        with Directory(str(tmp_path)) as opened:
            assert opened.can_be_locked
            assert locks._try_to_lock(os.open(tmp_path, os.O_RDONLY), exclusive=True)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] — without waiting
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)


async def test_where_directories_cannot_be_locked_there_are_no_conditional_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    async with FileTreeStore(data_directory=tmp_path) as store:
        assert store.capabilities.conditional_writes is False
        await store.put("ada", {"n": 1})
        version = await version_of(store)
        for call in (
            store.put_if_absent("bob", {"n": 1}),
            store.put_if_version("ada", {"n": 2}, version),
            store.delete_if_version("ada", version),
        ):
            with pytest.raises(StoreSetupError, match="no locks"):
                await call
        assert await store.get("ada") == {"n": 1}
        assert await store.delete("ada") is True


async def test_a_file_system_without_hard_links_has_conditional_writes(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert await store.put_if_absent("ada", {"n": 1}) is True
    assert await store.put_if_absent("ada", {"n": 2}) is False
    assert await store.get("ada") == {"n": 1}
    assert files_in(tmp_path) == ["ada.json"]
