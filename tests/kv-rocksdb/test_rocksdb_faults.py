"""What options, directories and databases that are not as they should be lead to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.core.type_checks import TypeViolationWarning
from key_value.aio.errors import DeserializationError, KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore
from rocksdict import Options, Rdict

if TYPE_CHECKING:
    from pathlib import Path

HOLDER = """
import sys
from rocksdict import Rdict
client = Rdict(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""

# Uses the store before and after a fork; the child's exit code says what it met.
FORKING = """
import asyncio, os, sys
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.rocksdb import RocksDBStore
from rocksdict import Rdict

kind, path = sys.argv[1:]
store = RocksDBStore(db=Rdict(path)) if kind == "db" else RocksDBStore(path=path)
asyncio.run(store.put("a", {"n": 1}))
if kind == "closed":
    asyncio.run(store.close())
child = os.fork()
if child == 0:
    code = 1
    try:
        asyncio.run((RocksDBStore(path=path) if kind == "other store" else store).get("a"))
        code = 0
    except StoreSetupError as exc:
        code = 2 if "fork" in str(exc) else 3
    finally:
        os._exit(code)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
assert asyncio.run(store.get("a")) == {"n": 1}
asyncio.run(store.close())
sys.exit(code)
"""

# Fills a disk of limited size, for this process, and then finds what was acknowledged.
FILLING = """
import asyncio, resource, signal, sys
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.stores.rocksdb import RocksDBStore

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = RocksDBStore(path=sys.argv[1])
    await store.put("before", {"n": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    written, errors = [], []
    for number in range(20):
        try:
            await store.put(f"k{number}", {"text": str(number) * 50_000})
            written.append(number)
        except KeyValueStoreError as exc:
            errors.append(str(exc))
    assert errors and all("IO error" in error and sys.argv[1] in error for error in errors), errors
    assert await store.get("before") == {"n": 1}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put("after", {"n": 2})
    await store.close()
    assert [number for number in written if await store.get(f"k{number}") != {"text": str(number) * 50_000}] == []
    assert await store.get_many(["before", "after"]) == [{"n": 1}, {"n": 2}]
    await store.close()

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries"


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 — ours


# Options


@pytest.mark.parametrize("options", [{}, {"path": ""}], ids=["none", "empty path"])
def test_a_database_or_a_path_is_needed(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pass either db=, .* or path="):
        RocksDBStore(**options)


def test_a_database_and_a_path_are_refused(path: Path) -> None:
    with Rdict(str(path)) as client, pytest.raises(ValueError, match=r"pass either db=, .* or path="):
        RocksDBStore(db=client, path=path)


def test_another_durability_is_refused(path: Path) -> None:
    durability: Any = "none"
    with pytest.warns(TypeViolationWarning), pytest.raises(ValueError, match="'normal' or 'full'"):
        RocksDBStore(path=path, durability=durability)


def test_a_constructor_opens_nothing(path: Path) -> None:
    RocksDBStore(path=path)
    assert not path.exists()


async def test_a_missing_database_is_not_created_when_it_may_not(path: Path) -> None:
    store = RocksDBStore(path=path, auto_create=False)
    with pytest.raises(StoreSetupError, match=r"no RocksDB database in .*entries; create it, or pass auto_create=True"):
        await store.get("a")
    async with RocksDBStore(path=str(path)) as creator:
        await creator.put("a", {"n": 1})
    assert await store.get("a") == {"n": 1}
    await store.close()


async def test_every_write_waits_for_the_medium_on_request(path: Path) -> None:
    async with RocksDBStore(path=path, durability="full") as store:
        await store.put("a", {"n": 1})
        await store.put_many(["b", "c"], [{"n": 2}, {"n": 3}])
        assert await store.delete("a") is True
        assert await store.get_many(["a", "b", "c"]) == [None, {"n": 2}, {"n": 3}]
        synced = (path / "LOG").read_text(errors="replace")
    assert "Options.use_fsync: 0" in synced


# Directories


def test_a_path_held_by_another_process_is_a_setup_error(path: Path) -> None:
    store = RocksDBStore(path=path)
    with subprocess.Popen(  # noqa: S603 — ours
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreSetupError, match=r"another process holds the RocksDB database .*entries"):
            asyncio.run(store.put("a", {"n": 1}))
        holder.communicate()
    asyncio.run(store.put("a", {"n": 1}))
    assert asyncio.run(store.get("a")) == {"n": 1}
    asyncio.run(store.close())


async def test_a_path_that_is_open_in_this_process_is_a_setup_error(path: Path) -> None:
    async with RocksDBStore(path=path) as store:
        other = RocksDBStore(path=path)
        with pytest.raises(StoreSetupError, match="open in this process already"):
            await other.get("a")
        await store.put("a", {"n": 1})
    assert await other.get("a") == {"n": 1}
    await other.close()


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


def test_a_damaged_page_is_a_deserialization_error_and_the_others_are_read(path: Path) -> None:
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
def test_a_full_disk_loses_nothing_and_the_store_serves_when_there_is_room(path: Path) -> None:
    ended = run(FILLING, path)
    assert (ended.returncode, ended.stderr) == (0, "")


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


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("db", 2), ("closed", 0)])
def test_what_was_open_in_a_fork_is_refused_in_the_child(path: Path, kind: str, code: int) -> None:
    assert run(FORKING, kind, path).returncode == code


def _fill(path: Path) -> None:
    """A database whose entries are in a table, which RocksDB makes when it closes."""

    async def fill() -> None:
        async with RocksDBStore(path=path) as store:
            keys = [f"k{number:04}" for number in range(2000)]
            await store.put_many(keys, [{"text": key[1:] * 25} for key in keys])

    asyncio.run(fill())
    with Rdict(str(path)) as client:
        client.flush()
