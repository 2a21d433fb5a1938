"""Concurrent conditional writes and deletions, in one process and in several, and their locks."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from embedded_cases import ContentionCases
from key_value.aio.errors import StoreSetupError, StoreTimeoutError
from key_value.aio.stores.filetree import FileTreeStore, locks
from key_value.aio.stores.filetree.directory import Directory
from rivals import version_of
from typing_extensions import override

from .trees import COLLECTION, files_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileTreeStore]:
    async with FileTreeStore(data_directory=tmp_path) as store:
        yield store


# Concurrent calls


class TestFileTreeStoreUnderContention(ContentionCases[FileTreeStore]):
    beginning = """
from key_value.aio.stores.filetree import FileTreeStore

def Store(path):
    return FileTreeStore(data_directory=path)
"""
    increments = 50
    keys = 100

    @override
    def open(self, path: Path) -> FileTreeStore:
        return FileTreeStore(data_directory=path)

    @override
    def check_files(self, path: Path) -> None:
        assert files_in(path) == ["count.json"]


async def test_one_call_replaces_an_expired_entry_while_others_cull_it(tmp_path: Path) -> None:
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


async def test_a_killed_lock_holder_leaves_nothing_locked(store: FileTreeStore, tmp_path: Path) -> None:
    await store.put("ada", {"n": 1})
    holder = await asyncio.to_thread(hold, tmp_path)
    waiting = asyncio.create_task(store.put_if_version("ada", {"n": 2}, await version_of(store, "ada")))
    await asyncio.wait([waiting], timeout=0.05)
    assert not waiting.done()
    holder.send_signal(signal.SIGKILL)
    assert await waiting is True
    holder.communicate()


async def test_a_lock_that_is_not_released_is_a_timeout_that_says_so(
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


def test_a_process_forked_while_the_lock_is_held_does_not_keep_it(tmp_path: Path) -> None:
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


async def test_without_directory_locks_conditional_writes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    async with FileTreeStore(data_directory=tmp_path) as store:
        assert store.capabilities.conditional_writes is False
        await store.put("ada", {"n": 1})
        version = await version_of(store, "ada")
        for call in (
            store.put_if_absent("bob", {"n": 1}),
            store.put_if_version("ada", {"n": 2}, version),
            store.delete_if_version("ada", version),
        ):
            with pytest.raises(StoreSetupError, match="no locks"):
                await call
        assert await store.get("ada") == {"n": 1}
        assert await store.delete("ada") is True


async def test_conditional_writes_work_without_hard_links(
    store: FileTreeStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", refuse)
    assert await store.put_if_absent("ada", {"n": 1}) is True
    assert await store.put_if_absent("ada", {"n": 2}) is False
    assert await store.get("ada") == {"n": 1}
    assert files_in(tmp_path) == ["ada.json"]
