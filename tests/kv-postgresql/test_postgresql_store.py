"""The store contracts on PostgreSQL, with options, with a pool and through a pooler."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — without stubs
import pytest
from key_value.aio.stores.postgresql import PostgreSQLStore
from key_value.aio.testing import StoreTests
from key_value.aio.testing.batches import BatchTests
from key_value.aio.testing.concurrency import ConcurrencyTests
from key_value.aio.testing.contract import StoreContract
from key_value.aio.testing.destruction import DestructionTests
from key_value.aio.testing.enumeration import EnumerationTests
from key_value.aio.testing.errors import ErrorTests
from key_value.aio.testing.fault_tests import FaultTests
from key_value.aio.testing.lifecycle import LifecycleTests
from key_value.aio.testing.stateful import check_against_dict
from key_value.aio.testing.versioned import VersionedTests
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Raw
    from servers.pgbouncer import PgBouncer
    from servers.postgresql import PostgreSQLServer

TABLE = "kv_test"

# Seconds: a thousand concurrent calls exceed the default of five on a busy machine.
TIMEOUT = 30.0

Driver: Any = asyncpg  # untyped


class PostgreSQLContract(StoreContract[PostgreSQLStore]):
    stores_envelopes = False
    many_keys = 25_000
    raw: Raw
    """The raw client, set by the fixture `store`."""

    @override
    async def read_stored(self, store: PostgreSQLStore, collection: str, key: str) -> str | None:
        await store.setup()
        sql = "SELECT value::text FROM kv_test WHERE collection = $1 AND key = $2"
        return await self.raw.value(sql, collection, key)

    @override
    async def corrupt_stored(self, store: PostgreSQLStore, collection: str, key: str, data: bytes) -> None:
        sql = "UPDATE kv_test SET value = $1::text::jsonb WHERE collection = $2 AND key = $3"
        try:
            await self.raw.fetch(sql, data.decode(), collection, key)
        except (UnicodeDecodeError, Driver.PostgresError):
            pytest.skip("a column of type JSONB holds nothing but JSON")

    @override
    async def put_foreign(self, store: PostgreSQLStore) -> None:
        await self.raw.fetch("DROP TABLE IF EXISTS kv_test_2")
        await self.raw.fetch("CREATE TABLE kv_test_2 AS SELECT 1 AS number")

    @override
    async def has_foreign(self, store: PostgreSQLStore) -> bool:
        return await self.raw.value("SELECT number FROM kv_test_2") == 1


class AnswerTests(
    PostgreSQLContract,
    BatchTests[PostgreSQLStore],
    EnumerationTests[PostgreSQLStore],
    DestructionTests[PostgreSQLStore],
    ConcurrencyTests[PostgreSQLStore],
    VersionedTests[PostgreSQLStore],
):
    """The contracts that depend on how a statement is sent; the others run the same code."""


class LazyPool(Driver.Pool):
    """A pool created on first use: asyncpg's pool needs a running event loop, which the fixture does not have."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None

    def acquire(self, *, timeout: float | None = None) -> Any:
        if self._pool is None:
            self._pool = Driver.create_pool(self._url, min_size=0, max_size=5, init=_read_json)
        return _Opened(self._pool, timeout)

    def is_closing(self) -> bool:
        return False

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None


class _Opened:
    def __init__(self, pool: Any, seconds: float | None) -> None:
        self._pool = pool
        self._seconds = seconds

    async def __aenter__(self) -> Any:
        await self._pool
        self._acquired = self._pool.acquire(timeout=self._seconds)
        return await self._acquired.__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        await self._acquired.__aexit__(*exc_info)


async def _read_json(connection: Any) -> None:
    """Decode JSON as many applications do."""
    await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


class StoreWithPool(PostgreSQLStore):
    """A store that also closes the pool passed to it."""

    def __init__(self, pool: Any) -> None:
        super().__init__(pool=pool, table_name=TABLE, timeout=TIMEOUT)
        self._pool = pool

    @override
    async def close(self) -> None:
        await super().close()
        await self._pool.close()


class TestPostgreSQLStore(PostgreSQLContract, StoreTests[PostgreSQLStore]):
    @pytest.fixture
    def store(self, url: str, raw: Raw) -> PostgreSQLStore:
        self.url, self.raw = url, raw
        return PostgreSQLStore(url=url, table_name=TABLE, timeout=TIMEOUT)

    @override
    def reopen(self, store: PostgreSQLStore) -> PostgreSQLStore:
        return PostgreSQLStore(url=self.url, table_name=TABLE, timeout=TIMEOUT)

    @override
    def address(self, store: PostgreSQLStore) -> tuple[str, dict[str, str]]:
        return "key_value.aio.stores.postgresql:PostgreSQLStore", {"url": self.url, "table_name": TABLE}


class TestPostgreSQLStoreWithPool(AnswerTests):
    any_event_loop = False

    @pytest.fixture
    def store(self, url: str, raw: Raw) -> PostgreSQLStore:
        self.raw = raw
        return StoreWithPool(LazyPool(url))


class TestPostgreSQLStoreThroughPooler(AnswerTests, LifecycleTests[PostgreSQLStore]):
    @pytest.fixture
    def store(self, pgbouncer: PgBouncer, raw_at: Callable[[str], Raw]) -> PostgreSQLStore:
        self.raw = raw_at(pgbouncer.database.url)
        self.url = pgbouncer.url
        return self._open()

    @override
    def reopen(self, store: PostgreSQLStore) -> PostgreSQLStore:
        return self._open()

    def _open(self) -> PostgreSQLStore:
        return PostgreSQLStore(url=self.url, table_name=TABLE, timeout=TIMEOUT, statement_cache_size=0)


class TestPostgreSQLStoreWithDisabledUser(PostgreSQLContract, ErrorTests[PostgreSQLStore]):
    secrets = ("pass-of-leaver",)

    @pytest.fixture
    def store(self, url: str, raw: Raw) -> PostgreSQLStore:
        self.raw = raw
        raw.run(
            "DROP ROLE IF EXISTS leaver",
            "CREATE ROLE leaver LOGIN SUPERUSER PASSWORD 'pass-of-leaver'",
        )
        place = urlsplit(url)
        return PostgreSQLStore(
            host=place.hostname or "",
            port=place.port or 5432,
            user="leaver",
            password="pass-of-leaver",  # noqa: S106 — a role of the test
            table_name=TABLE,
        )

    @override
    async def break_backend(self, store: PostgreSQLStore) -> None:
        await self.raw.fetch("ALTER ROLE leaver NOLOGIN")
        await self.raw.fetch("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'leaver'")


class TestPostgreSQLStoreUnderFaults(FaultTests[PostgreSQLStore]):
    @pytest.fixture
    def server_address(self, url: str, raw: Raw) -> tuple[str, int]:
        assert raw.url == url
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or 5432

    @pytest.fixture
    @override
    def killable_server(self, private_postgresql: PostgreSQLServer) -> PostgreSQLServer:
        return private_postgresql

    @override
    def store_at(self, host: str, port: int) -> PostgreSQLStore:
        return PostgreSQLStore(url=f"postgresql://kv@{host}:{port}/postgres", table_name=TABLE, timeout=2.0)


def test_a_postgresql_store_behaves_like_a_dict(url: str, raw: Raw) -> None:
    def make_store() -> PostgreSQLStore:
        raw.run("DROP TABLE IF EXISTS kv_test")
        return PostgreSQLStore(url=url, table_name=TABLE, timeout=TIMEOUT)

    check_against_dict(make_store)
