"""The table: its rows, and access to them by SQL."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import pytest
from key_value.aio.errors import DeserializationError, KeyValueStoreError
from key_value.aio.stores.chdb import ChDBStore
from key_value.aio.testing.clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from raw_chdb import RawChDB

TRICKY = [
    "\\",
    "\\n",
    "\n",
    "\t",
    "'",
    "\\'",
    "'); --",
    "`",
    '"',
    "\x00",
    "\r\n",
    "{key:String}",
    "[]",
    "höme/é 🌍",
    "?",
]


@pytest.fixture
async def store(path: Path) -> AsyncIterator[ChDBStore]:
    async with ChDBStore(path=path) as store:
        yield store


# Rows


async def test_an_entry_is_a_row(raw: RawChDB, store: ChDBStore) -> None:
    await store.put("alice", {"n": [1, {"b": 2}]}, collection="users", ttl=90.5)
    ((*fields, created_at, expires_at, inserted_at),) = raw.rows(
        "SELECT collection, key, value, version, created_at, expires_at, toUnixTimestamp(inserted_at) FROM kv_entries"
    )
    assert fields == ["users", "alice", '{"n":[1,{"b":2}]}', 1]
    created, expires = datetime.fromisoformat(created_at), datetime.fromisoformat(expires_at)
    assert abs((created - datetime.now(timezone.utc)).total_seconds()) < 60
    assert abs(created.timestamp() - inserted_at) < 60
    assert (expires - created).total_seconds() == 90.5


async def test_an_entry_without_ttl_has_no_expiry(raw: RawChDB, store: ChDBStore) -> None:
    await store.put("alice", {"n": 1}, ttl=90)
    await store.put("alice", {"n": 1})
    assert raw.rows("SELECT expires_at FROM kv_entries FINAL") == [("",)]


@pytest.mark.parametrize("name", TRICKY)
async def test_names_and_values_reach_the_table_unchanged(raw: RawChDB, store: ChDBStore, name: str) -> None:
    await store.put(name, {"text": name}, collection=name)
    assert await store.put_if_absent(f"{name}2", {"text": name}, collection=name)
    rows = raw.rows("SELECT hex(collection), hex(key), hex(value) FROM kv_entries ORDER BY key")
    texts = [tuple(bytes.fromhex(each).decode() for each in row) for row in rows]
    assert [(collection, key, json.loads(value)) for collection, key, value in texts] == [
        (name, name, {"text": name}),
        (name, f"{name}2", {"text": name}),
    ]
    assert await store.get_many([name, f"{name}2"], collection=name) == [{"text": name}] * 2
    assert await store.delete_many([name, f"{name}2", "other"], collection=name) == 2


async def test_values_can_be_queried_with_sql(raw: RawChDB, store: ChDBStore) -> None:
    await store.put("ada", {"name": "Ada", "born": 1815}, collection="users")
    await store.put("alan", {"name": "Alan", "born": 1912}, collection="users", ttl=60)
    await store.put("grace", {"name": "Grace", "born": 1906}, collection="users")
    await store.delete("grace", collection="users")
    assert raw.rows("""
        SELECT key, JSONExtractString(value, 'name') FROM kv_entries FINAL
        WHERE collection = 'users' AND JSONExtractInt(value, 'born') > 1900
        AND (expires_at = '' OR parseDateTimeBestEffort(expires_at) > now())
    """) == [("alan", "Alan")]


async def test_rows_written_by_sql_are_read(raw: RawChDB, store: ChDBStore) -> None:
    await store.put("ada", {"name": "Ada"}, collection="users", ttl=60)
    raw.rows("""
        INSERT INTO kv_entries (collection, key, value, created_at, expires_at, version)
        VALUES ('users', 'ada', '{"name": "Ada Lovelace"}', '', '', 1)
    """)
    assert await store.ttl("ada", collection="users") == ({"name": "Ada Lovelace"}, None)


async def test_the_last_write_wins_when_the_clock_goes_back(path: Path, raw: RawChDB, store: ChDBStore) -> None:
    await store.put("a", {"n": 1})
    raw.rows("INSERT INTO kv_entries SELECT * REPLACE (now64(9) + INTERVAL 1 DAY AS inserted_at) FROM kv_entries")
    async with ChDBStore(path=path) as later:
        await later.put("a", {"n": 2})
        assert await later.get("a") == {"n": 2}
        assert await later.delete("a") is True
        assert await later.get("a") is None


async def test_a_batch_of_any_size_is_one_part(raw: RawChDB, store: ChDBStore) -> None:
    await store.setup()
    raw.rows("SYSTEM STOP MERGES kv_entries")
    await store.put_many([f"k{number}" for number in range(70_000)], [{"text": "x" * 4000}] * 70_000)
    parts = raw.rows("SELECT rows FROM system.parts WHERE active AND table = 'kv_entries'")
    assert [int(rows) for (rows,) in parts] == [70_000]


async def test_a_batch_of_a_hundred_thousand_keys_is_read_and_deleted(store: ChDBStore) -> None:
    keys = [f"k{number}" for number in range(100_000)]
    await store.put_many(keys, [{"n": 1}] * len(keys))
    assert await asyncio.wait_for(store.get_many(keys), 60) == [{"n": 1}] * len(keys)
    assert await asyncio.wait_for(store.delete_many(keys), 60) == len(keys)


def statements_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the first word of each statement run from now on."""
    made: list[str] = []
    driver: Any = __import__("chdb.session").session.Session

    def counted(name: str) -> None:
        original = getattr(driver, name)

        def run(session: object, sql: str, *args: object, **kwargs: object) -> object:
            made.append(sql.split(maxsplit=1)[0])
            return original(session, sql, *args, **kwargs)

        monkeypatch.setattr(driver, name, run)

    counted("query")
    counted("send_insert")
    return made


@pytest.mark.parametrize(
    ("call", "statements"),
    [
        ("get_many", ["SELECT"]),
        ("ttl_many", ["SELECT"]),
        ("put_many", ["INSERT", "SELECT"]),
        ("delete_many", ["INSERT"]),
        ("keys", ["SELECT"]),
        ("collections", ["SELECT"]),
        ("destroy", ["TRUNCATE"]),
    ],
)
async def test_a_batch_takes_as_few_statements_as_a_single_call(
    store: ChDBStore, monkeypatch: pytest.MonkeyPatch, call: str, statements: list[str]
) -> None:
    await store.setup()
    made = statements_made(monkeypatch)
    keys = [f"k{number}" for number in range(100)]
    arguments: dict[str, tuple[Any, ...]] = {"put_many": (keys, [{"n": 1}] * 100), "keys": (), "collections": ()}
    await getattr(store, call)(*arguments.get(call, () if call == "destroy" else (keys,)))
    assert made == statements


# Queued calls


async def test_queued_gets_are_one_statement(store: ChDBStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await store.put_many([f"k{number}" for number in range(8)], [{"n": number} for number in range(8)])
    made = statements_made(monkeypatch)
    asked = [f"k{number % 10}" for number in range(50)]
    found = await asyncio.gather(*(store.get(key) for key in asked))
    assert found == [{"n": number % 10} if number % 10 < 8 else None for number in range(50)]
    assert len(made) <= 3


async def test_queued_puts_are_one_part_and_the_last_wins(
    raw: RawChDB, store: ChDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.setup()
    raw.rows("SYSTEM STOP MERGES kv_entries")
    made = statements_made(monkeypatch)
    await asyncio.gather(*(store.put(f"k{number % 10}", {"n": number}) for number in range(50)))
    assert made.count("INSERT") <= 3
    assert await store.get_many([f"k{number}" for number in range(10)]) == [{"n": 40 + number} for number in range(10)]


async def test_calls_of_several_kinds_and_collections_do_not_mix(store: ChDBStore) -> None:
    async def use(number: int) -> None:
        collection = f"c{number % 3}"
        await store.put("k", {"c": collection}, collection=collection)
        await store.put_many([f"own {number}", "k"], [{"n": number}, {"c": collection}], collection=collection)
        assert await store.get("k", collection=collection) == {"c": collection}
        assert await store.get(f"own {number}", collection=collection) == {"n": number}
        assert await store.delete(f"own {number}", collection=collection) is True

    await asyncio.gather(*(use(number) for number in range(20)))
    assert await store.keys("c0") == ["k"]


async def test_each_queued_put_has_its_own_error(raw: RawChDB, store: ChDBStore) -> None:
    await store.setup()
    raw.rows("ALTER TABLE kv_entries ADD CONSTRAINT no_bad_one CHECK key != 'bad'")
    keys = ["a", "b", "bad", "c", "d"]
    outcomes = await asyncio.gather(*(store.put(key, {"n": 1}) for key in keys), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [KeyValueStoreError] + [type(None)] * 2
    assert await store.keys() == ["a", "b", "c", "d"]


async def test_cancelled_queued_calls_are_left_out(store: ChDBStore) -> None:
    await store.setup()
    puts = [asyncio.create_task(store.put(f"k{number}", {"n": number})) for number in range(20)]
    await asyncio.sleep(0)
    for put in puts[10:]:
        put.cancel()
    await asyncio.gather(*puts, return_exceptions=True)
    assert sorted(await store.keys()) == sorted(f"k{number}" for number in range(10))


# Removal


async def test_culling_removes_expired_rows_and_rows_hidden_by_them_and_no_others(
    raw: RawChDB, store: ChDBStore
) -> None:
    await store.setup()
    raw.rows("SYSTEM STOP MERGES kv_entries")
    with FakeClock() as clock:
        await store.put_many([f"k{number}" for number in range(1000)], [{"n": 1}] * 1000, ttl=10)
        await store.put_many(["replaced", "live"], [{"n": 1}] * 2, ttl=10)
        await store.put_many(["deleted", "replaced"], [{"n": 1}] * 2)
        await store.put("live", {"n": 1}, ttl=30)
        await store.put("forever", {"n": 1})
        await store.delete("deleted")
        clock.advance(20)
        await store.put("shorter", {"n": 1})
        await store.put("shorter", {"n": 2}, ttl=0.001)
        clock.advance(1)
        raw.rows("SYSTEM START MERGES kv_entries")
        await store.cull()
        assert sorted(await store.keys()) == ["forever", "live", "replaced"]
        assert await store.get_many(["k1", "deleted", "shorter"]) == [None] * 3
    rows = raw.rows("SELECT DISTINCT key FROM kv_entries ORDER BY key")
    assert rows == [("forever",), ("live",), ("replaced",)]


async def test_culling_removes_deleted_values_from_the_files(raw: RawChDB, store: ChDBStore) -> None:
    await store.put("token", {"secret": "hunter2"})
    await store.delete("token")
    await store.cull()
    assert raw.rows("SELECT count() FROM kv_entries")[0][0] in (0, "0")


async def test_destroying_a_collection_removes_its_rows_and_no_others(raw: RawChDB, store: ChDBStore) -> None:
    for collection in ("a", "b"):
        await store.put("k", {"n": 1}, collection=collection)
        await store.put("k", {"n": 2}, collection=collection)
        await store.put("gone", {"n": 2}, collection=collection)
        await store.delete("gone", collection=collection)
    assert await store.destroy_collection("a") is True
    assert raw.rows("SELECT DISTINCT collection FROM kv_entries") == [("b",)]
    assert await store.get("k", collection="b") == {"n": 2}
    assert await store.destroy_collection("a") is False


# A full disk


@pytest.mark.parametrize("call", ["put", "put_many", "put_if_absent", "put_if_version", "delete"])
async def test_a_write_to_a_full_disk_is_not_acknowledged(raw: RawChDB, store: ChDBStore, call: str) -> None:
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    raw.rows(f"ALTER TABLE kv_entries MODIFY SETTING min_free_disk_bytes_to_perform_insert = {10**17}")
    secret = {"secret": "hunter2"}
    arguments: dict[str, tuple[Any, ...]] = {
        "put": ("a", secret),
        "put_many": (["a", "b"], [secret, secret]),
        "put_if_absent": ("b", secret),
        "put_if_version": ("a", secret, version),
        "delete": ("a",),
    }
    with pytest.raises(KeyValueStoreError, match="the disk is full") as error:
        await getattr(store, call)(*arguments[call])
    assert "hunter2" not in str(error.value)
    assert await store.get_many(["a", "b"]) == [{"n": 1}, None]
    raw.rows("ALTER TABLE kv_entries RESET SETTING min_free_disk_bytes_to_perform_insert")
    await store.put("a", {"n": 2})
    assert await store.get("a") == {"n": 2}


async def test_culling_that_stalls_is_abandoned(
    raw: RawChDB, store: ChDBStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("key_value.aio.stores.chdb.entries._STALL_TIMEOUT_SECONDS", 0.2)
    await store.put_many(["gone", "live"], [{"n": 1}] * 2)
    await store.delete("gone")
    raw.rows("SYSTEM STOP MERGES kv_entries")
    raw.rows("ALTER TABLE kv_entries DELETE WHERE key = 'gone' SETTINGS mutations_sync = 0")
    with pytest.raises(KeyValueStoreError, match="removing rows"):
        await asyncio.wait_for(store.cull(), 30)
    assert await store.keys() == ["live"]
    left = raw.rows("SELECT command FROM system.mutations WHERE table = 'kv_entries' AND NOT is_done")
    assert left == [("(DELETE WHERE key = 'gone')",)]
    raw.rows("SYSTEM START MERGES kv_entries")
    await store.cull()
    assert raw.rows("SELECT DISTINCT key FROM kv_entries") == [("live",)]


# Corrupt rows


@pytest.mark.parametrize("change", ["2::Int32 AS version", "'[1]' AS value", "'soon' AS expires_at"])
async def test_a_corrupt_row_is_named_and_the_others_are_read(raw: RawChDB, store: ChDBStore, change: str) -> None:
    await store.put_many(["good", "bad"], [{"secret": "hunter2"}] * 2, collection="users")
    changed = f"* REPLACE ({change}, now64(9) AS inserted_at)"
    raw.rows(f"INSERT INTO kv_entries SELECT {changed} FROM kv_entries WHERE key = 'bad'")  # noqa: S608 — ours
    with pytest.raises(DeserializationError, match=r"'bad' in collection 'users' of table 'kv_entries'") as error:
        await store.get("bad", collection="users")
    assert "hunter2" not in str(error.value)
    assert await store.get("good", collection="users") == {"secret": "hunter2"}
    assert await store.keys("users") == ["bad", "good"]


@pytest.mark.parametrize("call", ["keys", "scan", "collections"])
async def test_a_name_that_is_not_utf8_is_reported(raw: RawChDB, store: ChDBStore, call: str) -> None:
    await store.put("a", {"n": 1})
    name = "unhex('ff')" if call == "collections" else "collection"
    changed = f"* REPLACE ({name} AS collection, unhex('ff') AS key)"
    raw.rows(f"INSERT INTO kv_entries SELECT {changed} FROM kv_entries")  # noqa: S608 — ours
    with pytest.raises(DeserializationError, match=r"table 'kv_entries'.*not UTF-8"):
        await getattr(store, call)()
    assert await store.get("a") == {"n": 1}
