"""Statements sent for each call, and how PostgreSQL plans them."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from key_value.aio.core import clock
from key_value.aio.stores.postgresql import PostgreSQLStore
from key_value.aio.stores.postgresql.table import Table
from key_value.aio.testing import FakeClock, FaultProxy
from key_value.aio.testing.contract import eventually
from round_trips import ROUND_TRIP, round_trips_of
from servers.postgresql import PostgreSQLServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from conftest import Raw

    from tests.conftest import RunServer

LOGGED = re.compile(r"LOG:  (?:execute [^:]*|statement): +(.*)")


@pytest.fixture(scope="module")
def logging_server(run_server: RunServer) -> Iterator[PostgreSQLServer]:
    """A server that logs every statement it runs."""
    with run_server(PostgreSQLServer("-c", "log_statement=all")) as server:
        yield server


@pytest.fixture
def statements_run(logging_server: PostgreSQLServer) -> Callable[[], list[str]]:
    """Return the first words of the statements that the server has run since the previous call."""
    log = logging_server.directory / "output.log"
    seen = 0

    def since_last() -> list[str]:
        nonlocal seen
        text = log.read_text(errors="replace")
        new, seen = text[seen:], len(text)
        return [" ".join(statement.split()[:2]) for statement in LOGGED.findall(new)]

    since_last()
    return since_last


@pytest.fixture
async def store(logging_server: PostgreSQLServer) -> AsyncIterator[PostgreSQLStore]:
    async with PostgreSQLStore(url=logging_server.url) as store:
        await store.destroy()
        yield store


@pytest.fixture
async def filled(url: str, raw: Raw) -> AsyncIterator[PostgreSQLStore]:
    """A store with enough rows for PostgreSQL to prefer an index."""
    async with PostgreSQLStore(url=url, table_name="kv_test") as store:
        await raw.fetch(
            "INSERT INTO kv_test SELECT 'c' || i % 5, 'k' || lpad(i::text, 6, '0'), '{}', NULL, now(), "
            "CASE WHEN i % 100 = 0 THEN now() - interval '1 day' END FROM generate_series(1, 100000) AS i"
        )
        await raw.fetch("ANALYZE kv_test")
        yield store


# Statements


async def test_each_operation_is_one_statement(store: PostgreSQLStore, statements_run: Callable[[], list[str]]) -> None:
    statements_run()
    await store.put("key", {"n": 1})
    await store.put("key", {"n": 1}, ttl=60)
    assert statements_run() == ["INSERT INTO"] * 2
    await store.get("key")
    await store.ttl("key")
    assert statements_run() == ["SELECT value::text,"] * 2
    await store.put_if_absent("key", {"n": 2})
    assert statements_run() == ["INSERT INTO"]
    version = (await store.get_versioned("key")).version
    assert version is not None
    assert statements_run() == ["SELECT value::text,"]
    await store.put_if_version("key", {"n": 2}, version)
    assert statements_run() == ['UPDATE "kv_store"']
    await store.delete_if_version("key", version)
    await store.delete("key")
    assert statements_run() == ["DELETE FROM"] * 2
    await store.scan(prefix="k")
    assert statements_run() == ["SELECT key,"]
    await store.collections()
    assert statements_run() == ["WITH RECURSIVE"]


async def test_each_batch_is_one_statement(store: PostgreSQLStore, statements_run: Callable[[], list[str]]) -> None:
    keys = [f"key {number}" for number in range(2500)]
    statements_run()
    await store.put_many(keys, [{"n": 1}] * 2500)
    await store.put_many(keys, [{"n": 1}] * 2500, ttl=60)
    assert statements_run() == ["INSERT INTO"] * 2
    await store.get_many(keys)
    await store.ttl_many(keys)
    assert statements_run() == ["SELECT key,"] * 2
    await store.delete_many(keys)
    assert statements_run() == ["WITH target"]


async def test_nothing_is_sent_for_an_empty_batch(
    store: PostgreSQLStore, statements_run: Callable[[], list[str]]
) -> None:
    statements_run()
    await store.put_many([], [])
    assert await store.get_many([]) == []
    assert await store.delete_many([]) == 0
    assert statements_run() == []


async def test_expired_entries_are_removed_in_batches_of_a_thousand(
    store: PostgreSQLStore, statements_run: Callable[[], list[str]]
) -> None:
    with FakeClock() as now:
        await store.put_many([f"passing {number}" for number in range(2500)], [{"n": 1}] * 2500, ttl=60)
        await store.put_many(["lasting", "later"], [{"n": 1}] * 2)
        await store.put("later", {"n": 1}, ttl=600)
        now.advance(61)
        statements_run()
        await store.cull()
        assert statements_run() == ["WITH target"] * 3
        assert sorted(await store.keys()) == ["lasting", "later"]


async def test_a_collection_is_removed_in_batches_of_a_thousand(
    store: PostgreSQLStore, statements_run: Callable[[], list[str]]
) -> None:
    await store.put_many([f"{number}" for number in range(2500)], [{"n": 1}] * 2500, collection="many")
    await store.put("key", {"n": 1})
    statements_run()
    assert await store.destroy_collection("many") is True
    # The last statement finds no more rows.
    assert statements_run() == ["WITH target"] * 4
    assert await store.collections() == ["default_collection"]


async def test_each_call_is_one_round_trip(url: str, raw: Raw) -> None:
    assert raw.url == url
    keys, values = [f"key {number}" for number in range(500)], [{"n": 1}] * 500
    place = urlsplit(url)
    calls: list[Callable[[PostgreSQLStore], Awaitable[object]]] = [
        lambda store: store.put("key", {"n": 1}, ttl=60),
        lambda store: store.get("key"),
        lambda store: store.put_many(keys, values),
        lambda store: store.get_many(keys),
        lambda store: store.delete_many(keys),
    ]
    async with FaultProxy(place.hostname or "", place.port or 5432) as proxy, AsyncExitStack() as stack:
        through = place._replace(netloc=f"{place.username}@{proxy.host}:{proxy.port}").geturl()
        options: dict[str, Any] = {"table_name": "kv_test", "max_connections": 1, "timeout": 60}
        stores = [PostgreSQLStore(url=through, **options) for _ in calls]
        for call, store in zip(calls, stores, strict=True):
            await stack.enter_async_context(store)
            await call(store)  # prepare the statement
        proxy.delay(ROUND_TRIP)
        assert await round_trips_of(*(call(store) for call, store in zip(calls, stores, strict=True))) == [1] * 5
        proxy.pass_through()


# Plans


async def plan(raw: Raw, name: str, *parameters: object) -> str:
    rows = await raw.fetch(f"EXPLAIN {Table('kv_test').statements[name]}", *parameters)
    return "\n".join(row[0] for row in rows)


@pytest.mark.usefixtures("filled")
async def test_a_page_is_read_as_a_range_of_the_index(raw: Raw) -> None:
    shown = await plan(raw, "keys_between", "c1", "", "k01000", clock.now(), 1000, "k01001")
    [condition] = re.findall(r"Index Cond: (.*)", shown)
    assert "kv_test_pkey" in shown
    assert all(part in condition for part in ("collection = 'c1'", "key > ''", "key >= 'k01000'", "key < 'k01001'"))
    assert "Sort" not in shown
    assert "Sort" not in await plan(raw, "keys_from", "c1", "k005000", "", clock.now(), 1000)


async def test_a_prefix_reads_no_other_rows(filled: PostgreSQLStore, raw: Raw) -> None:
    assert await filled.keys("c1", limit=3) == ["k000001", "k000006", "k000011"]
    sql = Table("kv_test").statements["keys_between"]
    rows = await raw.fetch(f"EXPLAIN (ANALYZE, COSTS OFF) {sql}", "c1", "", "k01000", clock.now(), 1000, "k01001")
    shown = "\n".join(row[0] for row in rows)
    assert "rows=2 " in shown
    assert "Rows Removed by Filter" not in shown


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("name", "index", "parameters"),
    [
        ("get", "kv_test_pkey", ("c1", "k000001")),
        ("get_many", "kv_test_pkey", ("c1", ["k000001", "k000006"])),
        ("delete_many", "kv_test_pkey", ("c1", ["k000001", "k000006"], clock.now())),
        ("collections", "kv_test_pkey", (clock.now(), None)),
        ("cull", "idx_kv_test_expires_at", (clock.now(), 1000)),
    ],
)
async def test_a_statement_uses_an_index(raw: Raw, name: str, index: str, parameters: tuple[object, ...]) -> None:
    shown = await plan(raw, name, *parameters)
    assert index in shown
    assert "Seq Scan on kv_test" not in shown


@pytest.mark.usefixtures("filled")
async def test_the_next_entries_to_destroy_are_found_by_the_index(raw: Raw) -> None:
    # To delete them PostgreSQL may scan the whole table, if that is cheaper than a thousand look-ups.
    for shown in (
        await plan(raw, "destroy_collection", "c1", "", 1000, clock.now()),
        await plan(raw, "destroy", "c1", "", 1000),
    ):
        assert "Index Scan using kv_test_pkey on kv_test" in shown


# Background removal


async def eventually_gone(raw: Raw) -> bool:
    async def is_gone() -> bool:
        return await raw.value("SELECT count(*) FROM kv_test") == 0

    return await eventually(is_gone, within=60)


async def test_expired_entries_are_removed_in_the_background_on_request(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test", auto_cull=0.1) as store:
        await store.put_many(["a", "b"], [{"n": 1}] * 2, ttl=0.01)
        assert await eventually_gone(raw)


async def test_a_background_failure_is_logged_and_retried(url: str, raw: Raw, caplog: pytest.LogCaptureFixture) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test", auto_cull=0.05) as store:
        await raw.fetch("ALTER TABLE kv_test RENAME TO kv_test_2")

        async def is_logged() -> bool:
            return "cannot remove expired entries" in caplog.text

        assert await eventually(is_logged, within=60)
        await raw.fetch("ALTER TABLE kv_test_2 RENAME TO kv_test")
        await store.put("a", {"n": 1}, ttl=0.01)
        assert await eventually_gone(raw)
    logged = len(caplog.records)
    await asyncio.sleep(0.2)
    assert len(caplog.records) == logged


async def test_rows_locked_by_another_transaction_are_skipped(url: str, raw: Raw) -> None:
    async with PostgreSQLStore(url=url, table_name="kv_test", timeout=10) as store, raw.connected() as other:
        await store.put_many(["held", "free"], [{"n": 1}] * 2, ttl=0.01)
        await asyncio.sleep(0.02)
        async with other.transaction():
            await other.fetch("SELECT FROM kv_test WHERE key = 'held' FOR UPDATE")
            await store.cull()
        assert await raw.value("SELECT string_agg(key, ' ') FROM kv_test") == "held"


async def test_batches_in_any_order_never_deadlock(url: str, raw: Raw) -> None:
    assert raw.url == url
    keys = [f"key {number}" for number in range(100)]
    async with PostgreSQLStore(url=url, table_name="kv_test", timeout=30) as store:

        async def write(order: list[str]) -> None:
            for _ in range(10):
                await store.put_many(order, [{"n": 1}] * 100)
                await store.delete_many(order[::-1])

        # PostgreSQL would detect a deadlock and fail one of the transactions.
        await asyncio.gather(*(write(keys[start:] + keys[:start]) for start in range(0, 100, 10)))
