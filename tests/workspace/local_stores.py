"""The stores that need no server."""

from __future__ import annotations

URLS = {
    "memory": "memory://",
    "simple": "simple://",
    "disk": "disk://{}",
    "multi-disk": "multi-disk://{}",
    "filetree": "filetree://{}",
    "rocksdb": "rocksdb://{}",
    "duckdb": "duckdb://{}/entries.duckdb",
    "duckdb in memory": "duckdb://",
    "chdb": "chdb://{}/entries",
    "keyring": "keyring://forks",
}
