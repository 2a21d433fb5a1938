"""Options, URLs and invalid tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from embedded_cases import TableCases
from key_value.aio.errors import StoreSetupError
from key_value.aio.stores.duckdb import DuckDBStore
from typing_extensions import override

if TYPE_CHECKING:
    from pathlib import Path

    import duckdb


OTHERS = "created_at TIMESTAMPTZ, expires_at TIMESTAMPTZ, version INTEGER"
PRIMARY_KEY = "PRIMARY KEY (collection, key)"


class TestDuckDBOptions(TableCases[DuckDBStore]):
    store_type = DuckDBStore
    scheme = "duckdb"

    @override
    def open(self, raw: duckdb.DuckDBPyConnection, path: Path, **options: Any) -> DuckDBStore:
        return DuckDBStore(connection=raw, **options)

    @override
    def rows(self, raw: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
        return raw.execute(sql).fetchall()


def test_a_connection_and_a_path_are_refused(raw: duckdb.DuckDBPyConnection, path: Path) -> None:
    with pytest.raises(ValueError, match="not both"):
        DuckDBStore(connection=raw, database_path=path)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="path must name a file"):
        DuckDBStore(path="")


@pytest.mark.parametrize("database_path", [None, ":memory:"])
async def test_stores_in_memory_are_independent(database_path: str | None) -> None:
    store, other = DuckDBStore(database_path=database_path), DuckDBStore(database_path=database_path)
    await store.put("a", {"n": 1})
    assert await other.get("a") is None
    assert store.capabilities.durable is False


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
async def test_a_table_with_another_schema_is_refused(
    raw: duckdb.DuckDBPyConnection, made_by: str, *, auto_create: bool
) -> None:
    raw.execute(made_by)
    before = raw.execute("DESCRIBE kv_entries").fetchall()
    with pytest.raises(StoreSetupError, match="kv_entries"):
        await DuckDBStore(connection=raw, auto_create=auto_create).put("a", {"n": 1})
    assert raw.execute("DESCRIBE kv_entries").fetchall() == before


async def test_a_table_with_more_columns_in_another_order_is_accepted(raw: duckdb.DuckDBPyConnection) -> None:
    raw.execute("""
        CREATE TABLE kv_entries (note VARCHAR DEFAULT 'n', version INTEGER, expires_at TIMESTAMPTZ, key VARCHAR,
        created_at TIMESTAMPTZ, value JSON, collection VARCHAR, PRIMARY KEY (key, collection))
    """)
    store = DuckDBStore(connection=raw)
    await store.put_many(["a", "b"], [{"n": 1}, {"n": 2}], ttl=100)
    await store.put("a", {"n": 3})
    assert await store.get_many(["a", "b"]) == [{"n": 3}, {"n": 2}]
