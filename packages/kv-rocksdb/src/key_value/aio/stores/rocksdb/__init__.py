"""A store in a RocksDB database."""

from key_value.aio.stores.rocksdb.store import RocksDBStore

__all__ = ["RocksDBStore"]
