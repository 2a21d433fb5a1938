"""Files that are in use, damaged, full or removed, their permissions, and memory use."""

from __future__ import annotations

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from embedded import CALLS, FILLING, FORKING, check_held_elsewhere, check_removal, check_removal_under_two, run
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.duckdb import DuckDBStore

OPENING = "import duckdb; connection = duckdb.connect(sys.argv[1])"

# For the programs shared with other embedded stores.
BEGINNING = """
import duckdb
from key_value.aio.stores.duckdb import DuckDBStore as Store

def given(path):
    return Store(connection=duckdb.connect(path))

def prepare(path):
    # Writing to the database itself then fails first, after which DuckDB refuses everything until it is opened again.
    with duckdb.connect(path) as connection:
        connection.execute("SET wal_autocheckpoint = '100KB'")
"""

REWRITING = """
import asyncio
from key_value.aio.stores.duckdb import DuckDBStore

def megabytes():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096 // 1_000_000

async def main():
    store = DuckDBStore()
    await store.put("a", {"text": ""})
    before = megabytes()
    for number in range(1000):
        await store.put("a", {"text": "x" * 100_000}, ttl=60)
    print(megabytes() - before)
    await store.close()

asyncio.run(main())
"""


# Files


def test_a_file_open_in_another_process_is_a_setup_error(path: Path) -> None:
    message = r"another process has the DuckDB database .*entries\.duckdb open"
    check_held_elsewhere(DuckDBStore(database_path=path), OPENING, path, message)


async def test_a_directory_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(StoreSetupError, match=str(tmp_path)):
        await DuckDBStore(database_path=tmp_path).setup()


async def test_a_missing_directory_is_created_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "entries.duckdb"
    async with DuckDBStore(database_path=path) as store:
        await store.put("a", {"n": 1})
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path, Path(f"{path}.wal"))]
    assert modes == [0o700, 0o600, 0o600]


async def test_a_directory_that_cannot_be_created_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DuckDBStore(database_path=tmp_path / "file" / "entries.duckdb")
    with pytest.raises(StoreSetupError, match="file"):
        await store.setup()


def test_a_file_that_is_not_a_database_is_a_setup_error_and_kept(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreSetupError, match=r"cannot open .*entries\.duckdb"):
        asyncio.run(DuckDBStore(database_path=path).get("a"))
    assert path.read_bytes() == b"not a database" * 1000


def test_a_truncated_file_is_a_setup_error(path: Path) -> None:
    with duckdb.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT range FROM range(100000)")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StoreSetupError, match=r"cannot open .*entries\.duckdb"):
        asyncio.run(DuckDBStore(database_path=path).get("a"))


async def test_the_error_for_a_file_open_with_another_configuration_says_what_to_do(path: Path) -> None:
    with (
        duckdb.connect(path, config={"threads": 1}),
        pytest.raises(StoreSetupError, match="pass its connection as connection="),
    ):
        await DuckDBStore(database_path=path).get("a")


async def test_a_read_only_connection_reads_and_refuses_to_write(path: Path) -> None:
    async with DuckDBStore(database_path=path) as store:
        await store.put("a", {"n": 1})
    with duckdb.connect(path, read_only=True) as connection:
        reader = DuckDBStore(connection=connection, auto_create=False)
        assert await reader.get("a") == {"n": 1}
        with pytest.raises(KeyValueStoreError):
            await reader.put("a", {"n": 2})
        with pytest.raises(StoreSetupError, match="reading only"):
            await DuckDBStore(connection=connection, table_name="other").get("a")


@pytest.mark.skipif(sys.platform == "win32", reason="the size of files is limited by setrlimit")
def test_a_full_disk_loses_nothing_and_the_store_recovers_when_there_is_space(path: Path) -> None:
    ended = run(BEGINNING + FILLING, path, 400_000, "disk is full")
    assert ended.stdout == "all there\n", ended.stderr


# Removed files, and file permissions


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
@pytest.mark.parametrize("call", CALLS)
async def test_a_file_removed_while_open_is_reported_once_and_recreated(tmp_path: Path, call: str) -> None:
    path = tmp_path / "below" / "entries.duckdb"
    await check_removal(DuckDBStore(database_path=path), path.parent, call, r"entries\.duckdb")
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT key FROM kv_entries").fetchall() == [("c",)]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
async def test_a_replacement_file_is_used_when_all_stores_have_noticed_the_removal(path: Path) -> None:
    stores = DuckDBStore(database_path=path), DuckDBStore(database_path=path)
    await check_removal_under_two(*stores, lambda: replace(path), "still has another connection")
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT key FROM kv_entries ORDER BY key").fetchall() == [("c",), ("d",)]
        assert connection.execute("FROM theirs").fetchall() == [(1,)]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
async def test_a_table_is_not_recreated_without_auto_create(path: Path) -> None:
    async with DuckDBStore(database_path=path) as creator:
        await creator.put("a", {"n": 1})
    store = DuckDBStore(database_path=path, auto_create=False)
    await store.get("a")
    replace(path)
    with pytest.raises(StoreConnectionError, match="removed"):
        await store.put("a", {"n": 2})
    for _ in range(2):
        with pytest.raises(StoreSetupError, match="does not exist; create it"):
            await store.put("a", {"n": 2})


def replace(path: Path) -> None:
    """Remove a database, and create another at its path in another process."""
    path.unlink()
    path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
    maker = "import duckdb, sys; duckdb.connect(sys.argv[1]).execute('CREATE TABLE theirs AS SELECT 1')"
    subprocess.run([sys.executable, "-c", maker, str(path)], check=True, stderr=subprocess.DEVNULL)  # noqa: S603 — ours


@pytest.mark.skipif(sys.platform == "win32", reason="there are no modes")
async def test_nobody_else_may_read_a_file_or_its_log_after_a_checkpoint(path: Path) -> None:
    before = os.umask(0o022)
    try:
        async with DuckDBStore(database_path=path) as store:
            for turn in range(3):
                await store.put("token", {"turn": turn})
                assert modes(path.parent) == {"entries.duckdb": 0o600, "entries.duckdb.wal": 0o600}
                with duckdb.connect(path) as owner:
                    owner.execute("CHECKPOINT")
        assert modes(path.parent) == {"entries.duckdb": 0o600}
    finally:
        os.umask(before)


def modes(path: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.iterdir()}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no home of this name")
async def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    async with DuckDBStore(database_path="~/entries.duckdb") as store:
        await store.put("a", {})
    assert "entries.duckdb" in modes(tmp_path)


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has what a process occupies")
def test_rewriting_an_entry_in_memory_does_not_grow_the_process() -> None:
    ended = subprocess.run(  # noqa: S603 — ours
        [sys.executable, "-c", REWRITING], capture_output=True, text=True, timeout=250, check=False
    )
    grown = int(ended.stdout.split()[0])
    # 100 MB were written. DuckDB keeps only the writes since its last checkpoint.
    assert grown < 50


# Connections


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("given", 2), ("closed", 0)])
def test_a_forked_child_refuses_connections_opened_before_the_fork(path: Path, kind: str, code: int) -> None:
    assert run(BEGINNING + FORKING, kind, path).returncode == code
