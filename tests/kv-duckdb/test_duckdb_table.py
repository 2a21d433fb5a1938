"""The table: its rows, access to them by SQL, and exchange with the predecessor."""

from __future__ import annotations

import gzip
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb
import exchange
import pytest
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from predecessor import Predecessor

VALUES = {**exchange.OF_FILES, **exchange.FLOATS, **exchange.named("https://example.com/a?b=1#c", "höme/é 🌍")}
# The predecessor refuses to put lists of mixed types.
MIXED = exchange.VALUES


@pytest.fixture
def raw() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


# Rows


async def test_an_entry_is_a_row(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("alice", {"n": [1, {"b": 2}]}, collection="users", ttl=90.5)
    sql = "SELECT * EXCLUDE (created_at, expires_at), epoch_us(created_at), epoch_us(expires_at) FROM kv_entries"
    ((*fields, created_at, expires_at),) = raw.execute(sql).fetchall()
    assert fields == ["users", "alice", '{"n":[1,{"b":2}]}', 1]
    assert abs(created_at / 1e6 - datetime.now(timezone.utc).timestamp()) < 60
    assert expires_at - created_at == 90_500_000


async def test_an_entry_without_ttl_has_no_expiry(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("alice", {"n": 1}, ttl=90)
    await store.put("alice", {"n": 1})
    assert raw.execute("SELECT expires_at FROM kv_entries").fetchall() == [(None,)]


async def test_the_table_has_the_schema_of_the_stored_format(raw: duckdb.DuckDBPyConnection) -> None:
    await DuckDBStore(connection=raw).setup()
    assert [row[:4] for row in raw.execute("DESCRIBE kv_entries").fetchall()] == [
        ("collection", "VARCHAR", "NO", "PRI"),
        ("key", "VARCHAR", "NO", "PRI"),
        ("value", "JSON", "NO", None),
        ("created_at", "TIMESTAMP WITH TIME ZONE", "YES", None),
        ("expires_at", "TIMESTAMP WITH TIME ZONE", "YES", None),
        ("version", "INTEGER", "NO", None),
    ]


async def test_values_can_be_queried_with_sql(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("ada", {"name": "Ada", "born": 1815}, collection="users")
    await store.put("alan", {"name": "Alan", "born": 1912}, collection="users", ttl=60)
    sql = """
        SELECT key, value->>'$.name' FROM kv_entries
        WHERE collection = 'users' AND (value->>'$.born')::INT > 1900 AND (expires_at IS NULL OR expires_at > now())
    """
    assert raw.execute(sql).fetchall() == [("alan", "Alan")]


async def test_a_change_by_sql_is_read(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    await store.put("ada", {"name": "Ada"}, collection="users")
    raw.execute("""UPDATE kv_entries SET value = '{"name": "Ada Lovelace"}', expires_at = 'infinity'""")
    assert await store.ttl("ada", collection="users") == ({"name": "Ada Lovelace"}, None)


async def test_culling_deletes_expired_rows_and_no_others(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    with FakeClock() as clock:
        await store.put_many([f"k{number}" for number in range(1000)], [{"n": 1}] * 1000, ttl=10)
        await store.put("live", {"n": 1}, ttl=30)
        await store.put("forever", {"n": 1})
        clock.advance(20)
        await store.cull()
    assert raw.execute("SELECT key FROM kv_entries ORDER BY key").fetchall() == [("forever",), ("live",)]


async def test_deleting_an_expired_entry_frees_it_without_counting_it(raw: duckdb.DuckDBPyConnection) -> None:
    store = DuckDBStore(connection=raw)
    with FakeClock() as clock:
        await store.put_many(["a", "b", "c"], [{"n": 1}] * 3, ttl=10)
        clock.advance(20)
        assert await store.delete("a") is False
        assert await store.delete_many(["b", "c"]) == 0
    assert raw.execute("SELECT key FROM kv_entries").fetchall() == []


# Corrupt rows


@pytest.mark.parametrize("change", ["version = 2", "value = '[1]'", "expires_at = '200000-01-01 00:00:00+00'"])
async def test_a_corrupt_row_is_named_and_the_others_are_read(raw: duckdb.DuckDBPyConnection, change: str) -> None:
    store = DuckDBStore(connection=raw)
    await store.put_many(["good", "bad"], [{"secret": "hunter2"}] * 2, collection="users")
    raw.execute(f"UPDATE kv_entries SET {change} WHERE key = 'bad'")  # noqa: S608 — ours
    with pytest.raises(DeserializationError, match=r"'bad' in collection 'users' of table 'kv_entries'") as error:
        await store.get("bad", collection="users")
    assert "hunter2" not in str(error.value)
    assert await store.get("good", collection="users") == {"secret": "hunter2"}


async def test_a_row_without_value_is_corrupt(raw: duckdb.DuckDBPyConnection) -> None:
    raw.execute("""
        CREATE TABLE kv_entries (collection VARCHAR, key VARCHAR, value JSON, created_at TIMESTAMPTZ,
        expires_at TIMESTAMPTZ, version INTEGER, PRIMARY KEY (collection, key))
    """)
    raw.execute("INSERT INTO kv_entries (collection, key, version) VALUES ('c', 'k', 1)")
    with pytest.raises(DeserializationError):
        await DuckDBStore(connection=raw).get("k", collection="c")


# The predecessor


@pytest.fixture
def predecessor(predecessor_of: Callable[[str], Predecessor], path: Path) -> Callable[..., list[Any]]:
    """Return a function that calls the predecessor's DuckDBStore on the same file, in another process."""
    return partial(predecessor_of("duckdb").call, f"DuckDBStore(database_path={str(path)!r})")


async def test_the_predecessor_reads_what_we_write(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_predecessor_reads(DuckDBStore(database_path=path), predecessor, {**VALUES, **MIXED})


async def test_we_read_what_the_predecessor_writes(path: Path, predecessor: Callable[..., list[Any]]) -> None:
    await exchange.check_ours_reads(DuckDBStore(database_path=path), predecessor, VALUES)


@pytest.fixture
def recorded_path(recorded: Path) -> Path:
    path = recorded / "duckdb.db"
    path.write_bytes(gzip.decompress((recorded / "duckdb.db.gz").read_bytes()))
    return path


async def test_recorded_entries_are_read_in_full(recorded_path: Path) -> None:
    async with DuckDBStore(database_path=recorded_path) as store:
        assert sorted(await store.collections()) == ["a::b", "big", "mcp:oauth", "users"]
        assert await store.get("alice", collection="users") == {
            "name": "Alice",
            "roles": ["a", "b"],
            "n": 1.5,
            "none": None,
            "ok": True,
        }
        value, remaining = await store.ttl("https://example.com/client?id=1#x", collection="mcp:oauth")
        assert value == {"token": "t"}
        assert remaining is not None
        assert timedelta(days=1) < timedelta(seconds=remaining) < timedelta(days=3653)
        assert await store.get("c", collection="a::b") == {"who": "collection a::b, key c"}
        assert await store.get("blob", collection="big") == {"text": "x" * 40_000}
