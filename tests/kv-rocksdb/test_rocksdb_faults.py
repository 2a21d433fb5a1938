"""Directories that are in use, damaged, full or removed, and their permissions."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import sys
from typing import TYPE_CHECKING

import pytest
from embedded import CALLS, FILLING, FORKING, check_held_elsewhere, check_removal, run
from key_value.aio.errors import DeserializationError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore
from rocksdict import Options, Rdict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


OPENING = "from rocksdict import Rdict; client = Rdict(sys.argv[1])"

# Removes the store's database and creates another in a second process, then ends with or without closing the store.
REPLACED = """
import asyncio, shutil, subprocess, sys
from key_value.aio.errors import StoreConnectionError, StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore

MAKER = "import sys, rocksdict; rocksdict.Rdict(sys.argv[1])['theirs'] = 1"
path, ending = sys.argv[1:]

async def main():
    store = RocksDBStore(path=path)
    await store.put("a", {"n": 1})
    shutil.rmtree(path)
    subprocess.run([sys.executable, "-c", MAKER, path], check=True)
    if ending == "closed":
        await store.close()
    elif ending == "used":
        for expected in (StoreConnectionError, StoreSetupError, StoreSetupError):
            try:
                await store.put("b", {"n": 2})
            except expected as error:
                if expected is StoreSetupError and f"another database replaced {path} while" not in str(error):
                    sys.exit(str(error))
                continue
            sys.exit("stored")

asyncio.run(main())
"""

# For the programs shared with other embedded stores.
BEGINNING = """
from key_value.aio.stores.rocksdb import RocksDBStore as Store
from rocksdict import Rdict

def given(path):
    return Store(db=Rdict(path))

def prepare(path):
    pass
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries"


# Directories


def test_a_path_open_in_another_process_is_a_setup_error(path: Path) -> None:
    check_held_elsewhere(
        RocksDBStore(path=path), OPENING, path, r"another process has the RocksDB database .*entries open"
    )


async def test_a_path_open_in_this_process_is_a_setup_error(path: Path) -> None:
    async with RocksDBStore(path=path) as store:
        other = RocksDBStore(path=path)
        with pytest.raises(StoreSetupError, match=f"another store in this process has .*{path} open"):
            await other.get("a")
        await store.put("a", {"n": 1})
    assert await other.get("a") == {"n": 1}
    await other.close()


async def test_a_path_that_the_application_has_open_is_a_setup_error(path: Path) -> None:
    store = RocksDBStore(path=path)
    client = Rdict(str(path))
    with pytest.raises(StoreSetupError, match=f"{path} is already open in this process, or was when it was forked"):
        await store.get("a")
    client.close()
    assert await store.get("a") is None
    await store.close()


# Opens a database without a store, and a store on it in a forked child.
OPENED_BEFORE_FORK = """
import asyncio, os, sys
from rocksdict import Rdict
client = Rdict(sys.argv[1])
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore
try:
    asyncio.run(RocksDBStore(path=sys.argv[1]).get("a"))
except StoreSetupError as error:
    os._exit(0 if "or was when it was forked" in str(error) else 3)
os._exit(4)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_path_open_when_the_process_was_forked_is_a_setup_error(path: Path) -> None:
    assert run(OPENED_BEFORE_FORK, path).returncode == 0


def test_a_file_is_a_setup_error(path: Path) -> None:
    path.write_text("a file")
    with pytest.raises(StoreSetupError, match=r"is a directory, and .*entries is not"):
        asyncio.run(RocksDBStore(path=path).get("a"))
    assert path.read_text() == "a file"


def test_a_damaged_manifest_is_a_setup_error(path: Path) -> None:
    _fill(path)
    (path / "CURRENT").write_text("MANIFEST-999999\n")
    with pytest.raises(StoreSetupError, match=r"cannot open the RocksDB database .*entries"):
        asyncio.run(RocksDBStore(path=path).get("a"))


def test_a_damaged_page_is_a_deserialization_error_and_other_pages_are_read(path: Path) -> None:
    _fill(path)
    (table,) = path.glob("*.sst")
    octets = bytearray(table.read_bytes())
    octets[100:200] = bytes(100)
    table.write_bytes(octets)

    async def check() -> None:
        async with RocksDBStore(path=path) as store:
            with pytest.raises(DeserializationError, match="entries failed: Corruption"):
                await store.get("k0000")
            assert await store.get("k1999") == {"text": "1999" * 25}
            await store.put("k0000", {"n": 1})
            assert await store.get("k0000") == {"n": 1}

    asyncio.run(check())


async def test_a_database_in_raw_mode_is_refused(path: Path) -> None:
    Rdict(str(path), Options(raw_mode=True)).close()
    store = RocksDBStore(path=path)
    with pytest.raises(StoreSetupError, match="raw mode"):
        await store.get("a")
    await store.close()


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is limited by setrlimit")
def test_a_full_disk_loses_nothing_and_the_store_recovers_when_there_is_space(path: Path) -> None:
    ended = run(BEGINNING + FILLING, path, 300_000, "IO error")
    assert ended.stdout == "all there\n", ended.stderr


# Removed files, and file permissions


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
@pytest.mark.parametrize("call", CALLS)
async def test_a_database_removed_while_open_is_reported_once_and_recreated(path: Path, call: str) -> None:
    await check_removal(RocksDBStore(path=path / "below"), path, call, "below")
    with Rdict(str(path / "below")) as client:
        assert list(client.keys()) == ["default_collection::c"]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
@pytest.mark.parametrize("ending", ["used", "closed", "left"])
def test_a_foreign_database_in_place_of_a_removed_one_is_left_alone(path: Path, ending: str) -> None:
    ended = run(REPLACED, path, ending)
    assert (ended.returncode, ended.stderr) == (0, "")
    with Rdict(str(path)) as client:
        assert list(client.keys()) == ["theirs"]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
async def test_a_removed_database_is_not_recreated_without_auto_create(path: Path) -> None:
    async with RocksDBStore(path=path) as creator:
        await creator.put("a", {"n": 1})
    store = RocksDBStore(path=path, auto_create=False)
    await store.get("a")
    shutil.rmtree(path)
    with pytest.raises(StoreConnectionError, match="removed"):
        await store.put("a", {"n": 2})
    with pytest.raises(StoreSetupError, match="no RocksDB database"):
        await store.setup()
    assert not exists(path)


@pytest.fixture
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize("directory", ["of the store", "of the user"])
async def test_the_files_are_private_to_the_user(path: Path, directory: str) -> None:
    if directory == "of the user":
        make(path, 0o755)
    store = RocksDBStore(path=path)
    for turn in range(3):
        await store.put("token", {"turn": turn})
        assert modes(path) == {0o600}
        # When it is reopened, RocksDB creates a new file of each kind.
        await store.close()
        assert modes(path) == {0o600}
    assert modes(path.parent) == ({0o755} if directory == "of the user" else {0o700})


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
@pytest.mark.usefixtures("usual_umask")
async def test_files_that_rocksdb_creates_later_are_private_after_the_next_write(path: Path) -> None:
    with Rdict(str(path)) as client:
        client["mine"] = "x"
    assert 0o644 in modes(path)
    async with RocksDBStore(path=path) as store:
        before = names(path)
        # More than the 64 MB that RocksDB buffers in memory before it writes a table.
        for number in range(70):
            await store.put(f"k{number}", {"text": os.urandom(500_000).hex()})
        assert any(name.endswith(".log") for name in names(path) - before)
        await store.put("last", {})
        assert modes(path) == {0o600}


def make(path: Path, mode: int) -> None:
    path.mkdir(mode)


def exists(path: Path) -> bool:
    return path.exists()


def names(path: Path) -> set[str]:
    return {file.name for file in path.iterdir()}


def modes(path: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}


# Databases that are passed in


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("given", 2), ("closed", 2)])
def test_a_forked_child_refuses_databases_used_by_its_parent(path: Path, kind: str, code: int) -> None:
    assert run(BEGINNING + FORKING, kind, path).returncode == code


def _fill(path: Path) -> None:
    """Create a database with its entries in a table, which RocksDB writes on closing."""

    async def fill() -> None:
        async with RocksDBStore(path=path) as store:
            keys = [f"k{number:04}" for number in range(2000)]
            await store.put_many(keys, [{"text": key[1:] * 25} for key in keys])

    asyncio.run(fill())
    with Rdict(str(path)) as client:
        client.flush()
