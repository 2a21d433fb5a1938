"""A store in a table of chDB, an in-process ClickHouse. Its values can be queried with SQL."""

from key_value.aio.stores.chdb.store import ChDBStore

__all__ = ["ChDBStore"]
