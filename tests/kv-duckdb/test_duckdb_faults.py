"""What options, files and connections that are not as they should be lead to, and what several stores do at once."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from embedded import FILLING, FORKING, check_held_elsewhere, run
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.duckdb import DuckDBStore

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHERS = "created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, version INTEGER"
PRIMARY_KEY = "PRIMARY KEY (collection, key)"

HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""

# For the programs that other embedded stores run too.
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


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "entries.duckdb"


@pytest.fixture
def raw(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(path) as connection:
        yield connection


# Options


@pytest.mark.parametrize("table_name", ["", "1a", "a-b", "a b", "main.a", 'a"; DROP TABLE b; --', "ä", "a\n"])
def test_a_table_name_that_is_no_identifier_is_refused(table_name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        DuckDBStore(table_name=table_name)


@pytest.mark.parametrize("table_name", ["select", "Table1", "_", "order"])
async def test_a_table_name_may_be_a_word_of_sql(raw: duckdb.DuckDBPyConnection, table_name: str) -> None:
    store = DuckDBStore(connection=raw, table_name=table_name)
    await store.put("a", {"n": 1})
    assert raw.execute(f'SELECT key FROM "{table_name}"').fetchall() == [("a",)]  # noqa: S608 — ours


def test_a_connection_and_a_path_are_refused(raw: duckdb.DuckDBPyConnection, path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        DuckDBStore(connection=raw, database_path=path)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path must name a file"):
        DuckDBStore(path="")


def test_a_constructor_opens_nothing(path: Path) -> None:
    DuckDBStore(database_path=path)
    assert not path.exists()


@pytest.mark.parametrize("database_path", [None, ":memory:"])
async def test_stores_in_memory_are_apart(database_path: str | None) -> None:
    store, other = DuckDBStore(database_path=database_path), DuckDBStore(database_path=database_path)
    await store.put("a", {"n": 1})
    assert await other.get("a") is None
    assert store.capabilities.durable is False


async def test_a_seed_is_stored_once(path: Path) -> None:
    store = DuckDBStore(database_path=path, seed={"users": {"ada": {"n": 1}}})
    assert await store.get("ada", collection="users") == {"n": 1}
    await store.put("ada", {"n": 2}, collection="users")
    await store.close()
    assert await store.get("ada", collection="users") == {"n": 2}


async def test_a_missing_table_is_named_when_it_may_not_be_created(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw, auto_create=False)
    with pytest.raises(StoreSetupError, match=r"'kv_entries' .* does not exist; create it, or pass auto_create=True"):
        await store.get("a")
    await DuckDBStore(connection=raw).setup()
    await store.put("a", {"n": 1})
    assert await store.get("a") == {"n": 1}


@pytest.mark.parametrize(
    "made_by",
    [
        "CREATE TABLE kv_entries (id INTEGER)",
        f"CREATE TABLE kv_entries (collection VARCHAR, key VARCHAR, value INT, {OTHERS}, {PRIMARY_KEY})",
        f"CREATE TABLE kv_entries (collection VARCHAR, key VARCHAR PRIMARY KEY, value JSON, {OTHERS})",
        "CREATE VIEW kv_entries AS SELECT 1 AS collection",
    ],
    ids=["other columns", "other types", "other primary key", "view"],
)
@pytest.mark.parametrize("auto_create", [True, False])
async def test_a_table_of_another_shape_is_refused(
    raw: duckdb.DuckDBPyConnection, made_by: str, *, auto_create: bool
) -> None:
    raw.execute(made_by)
    before = raw.execute("DESCRIBE kv_entries").fetchall()
    with pytest.raises(StoreSetupError, match="kv_entries"):
        await DuckDBStore(connection=raw, auto_create=auto_create).put("a", {"n": 1})
    assert raw.execute("DESCRIBE kv_entries").fetchall() == before


async def test_a_table_with_more_columns_and_in_another_order_serves(raw: duckdb.DuckDBPyConnection) -> None:
    raw.execute("""
        CREATE TABLE kv_entries (note VARCHAR DEFAULT 'n', version INTEGER, expires_at TIMESTAMPTZ, key VARCHAR,
        created_at TIMESTAMPTZ, value JSON, collection VARCHAR, PRIMARY KEY (key, collection))
    """)
    store = DuckDBStore(connection=raw)
    await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=100)
    await store.put("a", {"n": 3})
    assert await store.get_many(["a", "b"]) == [{"n": 3}, {"n": 2}]


# Files


def test_a_file_held_by_another_process_is_a_setup_error(path: Path) -> None:
    message = r"another process holds the DuckDB database .*entries\.duckdb"
    check_held_elsewhere(DuckDBStore(database_path=path), HOLDER, path, message)


async def test_a_directory_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(StoreSetupError, match=str(tmp_path)):
        await DuckDBStore(database_path=tmp_path).setup()


async def test_a_missing_directory_is_made_for_this_user_alone(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "entries.duckdb"
    async with DuckDBStore(database_path=path) as store:
        await store.put("a", {"n": 1})
        modes = [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path, Path(f"{path}.wal"))]
    assert modes == [0o700, 0o600, 0o600]


async def test_a_directory_that_cannot_be_made_is_a_setup_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = DuckDBStore(database_path=tmp_path / "file" / "entries.duckdb")
    with pytest.raises(StoreSetupError, match="file"):
        await store.setup()


def test_a_file_that_is_no_database_is_a_setup_error_and_left_alone(path: Path) -> None:
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


async def test_a_file_open_with_another_configuration_says_what_to_do(path: Path) -> None:
    with (
        duckdb.connect(path, config={"threads": 1}),
        pytest.raises(StoreSetupError, match="pass its connection as connection="),
    ):
        await DuckDBStore(database_path=path).get("a")


async def test_a_connection_for_reading_reads_and_refuses_to_write(path: Path) -> None:
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
def test_a_full_disk_loses_nothing_and_the_store_serves_when_there_is_room(path: Path) -> None:
    ended = run(BEGINNING + FILLING, path, 400_000, "disk is full")
    assert ended.stdout == "all there\n", ended.stderr


# Files that are removed, and who may read them


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
@pytest.mark.parametrize("call", ["put", "get", "setup", "put_if_absent", "cull"])
async def test_a_file_removed_while_it_was_open_is_told_once_and_made_again(tmp_path: Path, call: str) -> None:
    path = tmp_path / "below" / "entries.duckdb"
    store = DuckDBStore(database_path=path)
    await store.put("a", {"n": 1})
    shutil.rmtree(path.parent)
    arguments: dict[str, tuple[Any, ...]] = {"put": ("b", {}), "get": ("a",), "put_if_absent": ("b", {})}
    with pytest.raises(StoreConnectionError, match=r"entries\.duckdb has been removed while it was open"):
        await getattr(store, call)(*arguments.get(call, ()))
    await store.put("c", {"n": 3})
    await store.setup()
    await store.close()
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT key FROM kv_entries").fetchall() == [("c",)]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
async def test_a_file_in_the_place_of_a_removed_one_is_used_when_all_stores_have_noticed(path: Path) -> None:
    store, other = DuckDBStore(database_path=path), DuckDBStore(database_path=path)
    await store.put("a", {"n": 1})
    await other.setup()
    replace(path)
    with pytest.raises(StoreConnectionError, match="removed"):
        await store.put("b", {"n": 2})
    with pytest.raises(StoreConnectionError, match="still has another connection"):
        await store.put("b", {"n": 2})
    with pytest.raises(StoreConnectionError, match="removed"):
        await other.get("a")
    await store.put("c", {"n": 3})
    await other.put("d", {"n": 4})
    await store.close()
    await other.close()
    with duckdb.connect(path) as connection:
        assert connection.execute("SELECT key FROM kv_entries ORDER BY key").fetchall() == [("c",), ("d",)]
        assert connection.execute("FROM theirs").fetchall() == [(1,)]


@pytest.mark.skipif(sys.platform == "win32", reason="what is open cannot be removed")
async def test_a_table_is_not_made_again_when_it_may_not(path: Path) -> None:
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
    """Remove a database, and have another process make one there."""
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


# URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("duckdb://", "DuckDBStore(:memory:)"),
        ("duckdb://?table_name=sessions", "DuckDBStore(:memory:)"),
        ("duckdb:///var/lib/app.db?auto_create=false&default_collection=c", "DuckDBStore(/var/lib/app.db)"),
        ("duckdb://data/entries.db", "DuckDBStore(/here/data/entries.db)"),
        ("duckdb://~/entries.db", "DuckDBStore(/me/entries.db)"),
    ],
)
def test_a_url_names_the_file(url: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getcwd", lambda: "/here")
    monkeypatch.setenv("HOME", "/me")
    assert repr(DuckDBStore.from_url(url)) == shown


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("duckdb://user@entries.db", "must name a path"),
        ("duckdb://entries.db?read_only=true", "no options"),
        ("duckdb://entries.db?path=other.db", "twice"),
        ("duckdb://entries.db?table_name=a-b", "letters, digits and underscores"),
        ("duckdb://entries.db?auto_create=maybe", "true or false"),
        ("duckdb://entries.db?seed=a", "no options"),
    ],
)
def test_a_url_that_means_nothing_is_refused(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        DuckDBStore.from_url(url)


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="/proc has what a process occupies")
def test_an_entry_that_is_rewritten_in_memory_does_not_grow_the_process() -> None:
    ended = subprocess.run(  # noqa: S603 — ours
        [sys.executable, "-c", REWRITING], capture_output=True, text=True, timeout=250, check=False
    )
    grown = int(ended.stdout.split()[0])
    # 100 MB were written, of which DuckDB keeps what came since its last checkpoint.
    assert grown < 50


# Connections


async def test_a_connection_is_left_open(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    await store.close()
    assert raw.execute("SELECT key FROM kv_entries").fetchall() == [("a",)]
    assert await store.get("a") == {"n": 1}


async def test_a_connection_closed_by_its_owner_is_a_connection_error(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.close()
    with pytest.raises(StoreConnectionError):
        await store.get("a")


async def test_what_the_owner_has_not_committed_is_not_seen_and_not_disturbed(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    assert await store.get("a") == {"n": 1}
    await store.put("b", {"n": 3})
    raw.commit()
    assert await store.get_many(["a", "b"]) == [{"n": 2}, {"n": 3}]


async def test_a_conflict_that_ends_is_not_noticed(
    raw: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("key_value.aio.stores.duckdb.entries._SECONDS_OF_TRYING", 60)
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    put = asyncio.ensure_future(store.put("a", {"n": 3}))
    done, _ = await asyncio.wait([put], timeout=0.05)
    assert not done
    raw.commit()
    await put
    assert await store.get("a") == {"n": 3}


async def test_a_conflict_that_does_not_end_is_a_connection_error(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("a", {"n": 1})
    raw.begin()
    raw.execute("""UPDATE kv_entries SET value = '{"n": 2}'""")
    with pytest.raises(StoreConnectionError):
        await store.put("a", {"n": 3})
    raw.rollback()
    assert await store.get("a") == {"n": 1}


def test_several_stores_on_one_file_and_its_owner_write_the_same_keys_at_once(
    raw: duckdb.DuckDBPyConnection, path: Path
) -> None:
    stores = [DuckDBStore(database_path=path), DuckDBStore(database_path=path), DuckDBStore(connection=raw)]
    errors: list[BaseException] = []

    async def write(store: DuckDBStore, number: int) -> None:
        async with store:
            for turn in range(15):
                await store.put(f"k{turn % 5}", {"store": number})
                await store.put_many([f"k{key}" for key in range(5)], [{"store": number}] * 5)
                await store.delete(f"k{turn % 5}")
            await store.put(f"own {number}", {"store": number})

    def run(store: DuckDBStore, number: int) -> None:
        try:
            asyncio.run(write(store, number))
        except BaseException as exc:  # noqa: BLE001 — told below
            errors.append(exc)

    threads = [threading.Thread(target=run, args=(store, number)) for number, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        raw.execute("SELECT count(*) FROM duckdb_tables()").fetchall()
    assert errors == []
    owned = raw.execute("SELECT key FROM kv_entries WHERE key LIKE 'own%' ORDER BY key").fetchall()
    assert owned == [("own 0",), ("own 1",), ("own 2",)]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("given", 2), ("closed", 0)])
def test_what_was_open_in_a_fork_is_refused_in_the_child(path: Path, kind: str, code: int) -> None:
    assert run(BEGINNING + FORKING, kind, path).returncode == code
