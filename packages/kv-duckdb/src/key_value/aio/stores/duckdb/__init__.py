"""A store in a DuckDB table. Its values can be queried with SQL."""

from key_value.aio.stores.duckdb.store import DuckDBStore

__all__ = ["DuckDBStore"]
