"""What options, files and connections that are not as they should be lead to, and what several stores do at once."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.duckdb import DuckDBStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHERS = "created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, version INTEGER"
PRIMARY_KEY = "PRIMARY KEY (collection, key)"

HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""

# Uses the store before and after a fork; the child's exit code says what it met.
FORKING = """
import asyncio, os, sys, duckdb
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.duckdb import DuckDBStore

kind, path = sys.argv[1:]
store = DuckDBStore(connection=duckdb.connect(path)) if kind == "connection" else DuckDBStore(database_path=path)
asyncio.run(store.put("a", {"n": 1}))
if kind == "closed":
    asyncio.run(store.close())
child = os.fork()
if child == 0:
    code = 1
    try:
        asyncio.run((DuckDBStore(database_path=path) if kind == "other store" else store).get("a"))
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
import asyncio, duckdb, resource, signal, sys
from key_value.aio.errors import KeyValueStoreError
from key_value.aio.stores.duckdb import DuckDBStore

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    store = DuckDBStore(database_path=sys.argv[1])
    await store.put("before", {"n": 1})
    # Writing to the database itself then fails first, after which DuckDB refuses everything until it is opened again.
    with duckdb.connect(sys.argv[1]) as connection:
        connection.execute("SET wal_autocheckpoint = '100KB'")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    written, errors = [], []
    for number in range(20):
        try:
            await store.put(f"k{number}", {"text": str(number) * 50_000})
            written.append(number)
        except KeyValueStoreError as exc:
            errors.append(str(exc))
    assert errors and all("disk is full" in error and sys.argv[1] in error for error in errors), errors
    assert await store.get("before") == {"n": 1}
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    await store.put("after", {"n": 2})
    await store.close()
    assert [number for number in written if await store.get(f"k{number}") != {"text": str(number) * 50_000}] == []
    assert await store.get_many(["before", "after"]) == [{"n": 1}, {"n": 2}]
    await store.close()
    print("all there")

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
    with pytest.raises(ValueError, match="database_path"):
        DuckDBStore(database_path="")


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
    store = DuckDBStore(database_path=path)
    with subprocess.Popen(  # noqa: S603 — ours
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StoreSetupError, match=r"another process holds the DuckDB database .*entries\.duckdb"):
            asyncio.run(store.put("a", {"n": 1}))
        holder.communicate()
    asyncio.run(store.put("a", {"n": 1}))
    assert asyncio.run(store.get("a")) == {"n": 1}


async def test_a_directory_is_a_setup_error(tmp_path: Path) -> None:
    with pytest.raises(StoreSetupError, match=str(tmp_path)):
        await DuckDBStore(database_path=tmp_path).setup()


async def test_a_missing_directory_is_a_setup_error(tmp_path: Path) -> None:
    path = tmp_path / "absent" / "entries.duckdb"
    store = DuckDBStore(database_path=path)
    with pytest.raises(StoreSetupError, match="absent"):
        await store.setup()
    path.parent.mkdir()
    await store.put("a", {"n": 1})
    assert await store.get("a") == {"n": 1}


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
    command = [sys.executable, "-W", "ignore", "-c", FILLING, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603 — ours
    assert ended.stdout.startswith("all there"), ended.stderr


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


async def test_a_conflict_that_ends_is_not_noticed(raw: duckdb.DuckDBPyConnection) -> None:
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
@pytest.mark.parametrize(("kind", "code"), [("path", 2), ("other store", 2), ("connection", 2), ("closed", 0)])
def test_what_was_open_in_a_fork_is_refused_in_the_child(path: Path, kind: str, code: int) -> None:
    command: list[Any] = [sys.executable, "-W", "ignore", "-c", FORKING, kind, str(path)]
    assert subprocess.run(command, stderr=subprocess.DEVNULL, timeout=30, check=False).returncode == code  # noqa: S603 — ours
