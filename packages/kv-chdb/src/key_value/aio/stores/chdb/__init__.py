"""A store in a table of chDB, which is ClickHouse inside the process; its values can be queried with SQL."""

from key_value.aio.stores.chdb.store import ChDBStore

__all__ = ["ChDBStore"]
