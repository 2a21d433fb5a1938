"""Conditional writes in competition with SQL statements and with each other."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from key_value.aio.stores.postgresql import PostgreSQLStore
from rivals import RACES, winners_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Raw


@pytest.fixture
async def store(url: str, raw: Raw) -> AsyncIterator[PostgreSQLStore]:
    assert raw.url == url
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        yield store


@pytest.mark.parametrize(
    "write",
    [
        """UPDATE kv_test SET value = '{"n": 2}'""",
        "UPDATE kv_test SET value = value",
        "UPDATE kv_test SET expires_at = '2100-01-01'",
        "INSERT INTO kv_test SELECT * FROM kv_test ON CONFLICT (collection, key) DO UPDATE SET ttl = EXCLUDED.ttl",
        "WITH old AS (DELETE FROM kv_test RETURNING *) SELECT * FROM old",
    ],
)
async def test_a_write_by_sql_in_between_is_noticed(store: PostgreSQLStore, raw: Raw, write: str) -> None:
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    assert version is not None
    await raw.fetch(write)
    rows = await raw.fetch("SELECT * FROM kv_test")
    assert await store.put_if_version("a", {"n": 3}, version) is False
    assert await store.delete_if_version("a", version) is False
    assert await raw.fetch("SELECT * FROM kv_test") == rows


async def test_two_writes_of_one_transaction_have_two_versions(store: PostgreSQLStore, raw: Raw) -> None:
    await store.put("a", {"n": 1})
    async with raw.connected() as other, other.transaction():
        await other.execute("UPDATE kv_test SET value = value")
        first = (await other.fetch("SELECT xmin::text || ctid::text FROM kv_test"))[0][0]
        await other.execute("UPDATE kv_test SET value = value")
        assert (await other.fetch("SELECT xmin::text || ctid::text FROM kv_test"))[0][0] != first


async def test_an_equal_value_stored_again_has_a_new_version(store: PostgreSQLStore) -> None:
    versions: set[str | None] = set()
    for _ in range(50):
        await store.put("a", {"n": 1})
        versions.add((await store.get_versioned("a")).version)
    assert len(versions) == 50


async def test_a_version_survives_a_vacuum(store: PostgreSQLStore, raw: Raw) -> None:
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    assert version is not None
    await raw.fetch("VACUUM (FREEZE) kv_test")
    assert await store.put_if_version("a", {"n": 2}, version) is True


async def test_a_write_waits_for_a_transaction_and_then_sees_its_result(store: PostgreSQLStore, raw: Raw) -> None:
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    assert version is not None
    async with raw.connected() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("""UPDATE kv_test SET value = '{"n": 2}'""")
        writes = [
            asyncio.ensure_future(store.put_if_version("a", {"n": 3}, version)),
            asyncio.ensure_future(store.delete_if_version("a", version)),
            asyncio.ensure_future(store.put_if_absent("a", {"n": 4})),
        ]
        await asyncio.sleep(0.2)
        assert not any(write.done() for write in writes)
        await transaction.commit()
    assert await asyncio.gather(*writes) == [False, False, False]
    assert await store.get("a") == {"n": 2}


async def test_an_expired_entry_has_no_version_and_counts_as_absent(store: PostgreSQLStore, raw: Raw) -> None:
    await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version
    assert version is not None
    await raw.fetch("UPDATE kv_test SET expires_at = '2020-01-01'")
    assert (await store.get_versioned("a")).version is None
    assert await store.delete_if_version("a", version) is False
    assert await store.put_if_absent("a", {"n": 2}) is True
    assert await store.put_if_absent("a", {"n": 3}) is False
    assert await store.get("a") == {"n": 2}


@pytest.mark.parametrize("operation", RACES)
async def test_exactly_one_of_the_racing_stores_wins(url: str, store: PostgreSQLStore, operation: str) -> None:
    if operation != "put_if_absent":
        await store.put("a", {"n": 1})
    version = (await store.get_versioned("a")).version or ""
    others = [PostgreSQLStore(url=url, table_name="kv_test", max_connections=1) for _ in range(20)]
    await asyncio.gather(*(other.setup() for other in others))
    assert await winners_of(others, operation, version) == 1
    assert len(await store.keys()) == operation.startswith("put")
