"""Directories used by other processes: the predecessor's, killed, forked, and those holding a directory open."""

from __future__ import annotations

import asyncio
import shutil
import stat
from functools import partial
from typing import TYPE_CHECKING, Any

import exchange
import pytest
from embedded import CALLS, FORKING, check_held_elsewhere, check_removal, check_removal_under_two, run
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.testing import CrashTests
from raw_chdb import RawChDB
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from predecessor import Predecessor

NAMES = exchange.named("https://example.com/a?b=1#c", "höme/é 🌍")
VALUES = {**exchange.VALUES, **exchange.OF_FILES, **exchange.FLOATS, **NAMES}

OPENING = "from chdb.session import Session; session = Session(sys.argv[1])"

# For the programs shared with other embedded stores.
BEGINNING = """
from chdb.session import Session
from key_value.aio.stores.chdb import ChDBStore as Store

def given(path):
    return Store(session=Session(path))
"""

# Ends without closing.
ENDING = """
import asyncio, sys
from key_value.aio.stores.chdb import ChDBStore

store = ChDBStore(path=sys.argv[1])
asyncio.run(store.put("a", {"n": 1}))
print("stored")
"""

# Writes more than this process is allowed to: chDB then leaves a truncated file without an error.
CUTTING = """
import asyncio, random, resource, signal, sys
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.stores.chdb import ChDBStore

async def main():
    store = ChDBStore(path=sys.argv[1])
    value = {"text": random.Random(0).randbytes(300_000).hex()}
    await store.put("before", {"n": 1})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    for put in (store.put, store.put_if_absent):
        try:
            await put("large", value)
        except KeyValueStoreError as exc:
            assert sys.argv[1] in str(exc), exc
        else:
            sys.exit("acknowledged")
        assert await store.get("large") is None
        assert await store.keys() == ["before"]
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put("large", value)
    await store.close()
    assert await store.get_many(["before", "large"]) == [{"n": 1}, value]
    await store.close()
    print("all there")

asyncio.run(main())
"""

# Imports the driver, and nothing else, before forking.
IMPORTING = """
import asyncio, os, sys
import chdb
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.chdb import ChDBStore

child = os.fork()
if child == 0:
    code = 1
    try:
        asyncio.run(ChDBStore(path=sys.argv[1]).get("a"))
    except StoreSetupError as exc:
        code = 2 if "forked" in str(exc) else 3
    finally:
        os._exit(code)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.fixture(autouse=True)
def _nothing_open(tmp_path_factory: pytest.TempPathFactory) -> None:
    RawChDB(tmp_path_factory.mktemp("other")).close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "database"


class TestChDBStoreAfterCrashes(CrashTests):
    store_path = "key_value.aio.stores.chdb:ChDBStore"
    shared_by_processes = False
    crashes = 15

    @override
    def store_options(self, directory: Path) -> dict[str, Any]:
        return {"database_path": str(directory / "database")}


# One process at a time


def test_a_directory_open_in_another_process_is_a_setup_error(path: Path) -> None:
    check_held_elsewhere(ChDBStore(path=path), OPENING, path, r"another process has the chDB database .*database open")


@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("given", 2), ("closed", 2)])
def test_the_child_of_a_process_that_used_chdb_refuses(path: Path, kind: str, code: int) -> None:
    assert run(BEGINNING + FORKING, kind, path).returncode == code


def test_the_child_of_a_process_that_imported_chdb_refuses(path: Path) -> None:
    assert run(IMPORTING, path).returncode == 2


def test_a_program_may_end_without_closing(path: Path) -> None:
    ended = run(ENDING, path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "stored\n", "")
    with RawChDB(path) as raw:
        assert raw.rows("SELECT key FROM kv_entries") == [("a",)]


def test_a_truncated_write_is_not_acknowledged_and_hides_nothing(tmp_path: Path) -> None:
    ended = run(CUTTING, tmp_path / "database")
    assert (ended.returncode, ended.stdout) == (0, "all there\n"), ended.stderr


def test_importing_the_store_does_not_import_chdb() -> None:
    program = "import sys; from key_value.aio.stores.chdb import ChDBStore; ChDBStore(); print('chdb' in sys.modules)"
    assert run(program).stdout == "False\n"


# Directories


async def test_another_directory_is_refused_while_one_is_open(path: Path) -> None:
    async with ChDBStore(path=path) as store:
        await store.setup()
        for other in (ChDBStore(path=f"{path}2"), ChDBStore()):
            with pytest.raises(StoreSetupError, match=r"this process has '.*database' open, and chDB opens one"):
                await other.get("a")
    async with ChDBStore(path=f"{path}2") as other:
        await other.put("a", {"n": 1})
        assert await other.get("a") == {"n": 1}


async def test_stores_and_sessions_may_name_a_directory_in_several_ways(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path)
    async with ChDBStore(path=path) as store, ChDBStore(path=link) as linked:
        await store.put("a", {"n": 1})
        assert await linked.get("a") == {"n": 1}
        async with ChDBStore(path=path / ".." / path.name) as indirect:
            assert await indirect.get("a") == {"n": 1}
    with RawChDB(link):
        async with store:
            assert await store.get("a") == {"n": 1}
    link.unlink()


async def test_a_missing_directory_is_created_for_this_user_alone(path: Path) -> None:
    async with ChDBStore(path=path / "below") as store:
        await store.put("a", {"n": 1})
        assert [stat.S_IMODE(each.stat().st_mode) for each in (path, path / "below")] == [0o700, 0o700]


def test_a_file_in_its_place_is_a_setup_error(path: Path) -> None:
    path.touch()
    for place in (path, path / "below"):
        with pytest.raises(StoreSetupError, match=r"database.*: Not a directory"):
            asyncio.run(ChDBStore(path=place).setup())


@pytest.mark.parametrize("call", CALLS)
async def test_a_directory_removed_while_open_is_reported_once_and_recreated(path: Path, call: str) -> None:
    await check_removal(ChDBStore(path=path), path, call, "database")
    with RawChDB(path) as raw:
        assert raw.rows("SELECT key FROM kv_entries") == [("c",)]


async def test_a_removed_directory_is_recreated_when_all_stores_have_noticed(path: Path) -> None:
    stores = ChDBStore(path=path), ChDBStore(path=path)
    await check_removal_under_two(*stores, lambda: shutil.rmtree(path), "still has another session")
    with RawChDB(path) as raw:
        assert raw.rows("SELECT key FROM kv_entries ORDER BY key") == [("c",), ("d",)]


async def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with ChDBStore(database_path="~/data") as store:
        await store.put("a", {})
    assert (tmp_path / "data" / "store").is_dir()


# The predecessor


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], path: Path) -> Callable[..., list[Any]]:
    """Return a function that calls the predecessor's ChDBStore on the same directory, in another process."""
    return partial(predecessor_of("chdb").call, f"ChDBStore(database_path={str(path)!r})")


async def test_the_predecessor_reads_what_we_write(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_predecessor_reads(ChDBStore(database_path=path), predecessor, VALUES)


async def test_the_predecessor_reads_what_we_put_conditionally(
    path: Path, predecessor: Callable[..., list[Any]]
) -> None:
    async with ChDBStore(database_path=path) as store:
        for key, value in VALUES.items():
            await store.put_if_absent(key, value, collection="single")
    gets = [("get", {"key": key, "collection": "single"}) for key in VALUES]
    assert predecessor(*gets) == list(VALUES.values())


async def test_we_read_what_the_predecessor_writes(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_ours_reads(ChDBStore(database_path=path), predecessor, VALUES)
