"""A store on a PostgreSQL table; its values can be queried with SQL."""

from key_value.aio.stores.postgresql.store import PostgreSQLStore

__all__ = ["PostgreSQLStore"]
