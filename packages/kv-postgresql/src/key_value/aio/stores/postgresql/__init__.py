"""A store in a PostgreSQL table, whose values can be queried with SQL."""

from key_value.aio.stores.postgresql.store import PostgreSQLStore

__all__ = ["PostgreSQLStore"]
