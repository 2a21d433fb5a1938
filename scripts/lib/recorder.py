"""Write entries with every store and wrapper of the predecessor. Run it in the predecessor's environment.

Arguments: the directory to create and write to, and the URL of an empty Redis server.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography.fernet import Fernet
from key_value.aio.adapters.pydantic import PydanticAdapter
from key_value.aio.stores.disk import DiskStore, MultiDiskStore
from key_value.aio.stores.duckdb import DuckDBStore
from key_value.aio.stores.filetree import (
    FileTreeStore,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.stores.redis import RedisStore
from key_value.aio.stores.rocksdb import RocksDBStore
from key_value.aio.wrappers.compression import CompressionWrapper
from key_value.aio.wrappers.encryption.fernet import FernetEncryptionWrapper
from key_value.aio.wrappers.prefix_collections import PrefixCollectionsWrapper
from key_value.aio.wrappers.prefix_keys import PrefixKeysWrapper
from key_value.aio.wrappers.single_collection import SingleCollectionWrapper
from redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable

TEN_YEARS = 3650 * 86_400
FERNET = b"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

Entries = list[tuple[str, str, dict[str, Any], float | None]]

ENTRIES: Entries = [
    ("users", "alice", {"name": "Alice", "roles": ["a", "b"], "n": 1.5, "none": None, "ok": True}, None),
    ("users", "höme/é 🌍", {"v": "unicode ✓", "nested": {"a": [1, {"b": 2}]}}, None),
    ("mcp:oauth", "https://example.com/client?id=1#x", {"token": "t"}, TEN_YEARS),
    ("a::b", "c", {"who": "collection a::b, key c"}, None),
    ("big", "blob", {"text": "x" * 40_000}, None),
]
WRAPPED = {"n": 1, "text": "y" * 5000}


async def write(store: Any, entries: Entries = ENTRIES) -> None:
    for collection, key, value, ttl in entries:
        await store.put(key, value, collection=collection, ttl=ttl)
    if hasattr(store, "close"):
        await store.close()


async def write_stores(directory: Path, redis_url: str) -> None:
    tree = directory / "filetree"
    plain = directory / "filetree_plain"
    for path in (directory / "disk", directory / "multi_disk", tree, plain):
        path.mkdir(parents=True)
    await write(DiskStore(directory=directory / "disk"))
    await write(MultiDiskStore(base_directory=directory / "multi_disk"))
    await write(RocksDBStore(path=directory / "rocksdb"))
    # The predecessor's DuckDBStore rejects lists that contain both numbers and objects.
    compatible_entries = [entry for entry in ENTRIES if "nested" not in entry[2]]
    await write(DuckDBStore(database_path=directory / "duckdb.db"), compatible_entries)
    await write(
        FileTreeStore(
            data_directory=tree,
            key_sanitization_strategy=FileTreeV1KeySanitizationStrategy(tree),
            collection_sanitization_strategy=FileTreeV1CollectionSanitizationStrategy(tree),
        )
    )
    store = FileTreeStore(data_directory=plain)
    await store.put("alice", {"name": "Alice"}, collection="users")
    await store.put("bob", {"name": "Bob"}, collection="users", ttl=TEN_YEARS)
    await write(RedisStore(url=redis_url))


def redis_entries(url: str) -> dict[str, Any]:
    client = cast("Any", Redis).from_url(url)
    return {
        name.decode(): {"value": client.get(name).decode(), "pttl_ms": client.pttl(name)}
        for name in sorted(client.scan_iter())
    }


async def wrapper_entries() -> dict[str, Any]:
    """Return the contents of a store behind each wrapper, by the expression that creates it and `collection | key`."""
    wrappers: dict[str, tuple[Callable[[Any], Any], str, str]] = {
        "CompressionWrapper()": (CompressionWrapper, "col", "k1"),
        "FernetEncryptionWrapper(fernet=)": (
            lambda store: FernetEncryptionWrapper(store, fernet=Fernet(FERNET)),
            "col",
            "k1",
        ),
        "FernetEncryptionWrapper(source_material=, salt=)": (
            lambda store: FernetEncryptionWrapper(
                store, source_material="correct horse battery staple", salt="sea salt"
            ),
            "col",
            "k1",
        ),
        "PrefixKeysWrapper(prefix='p')": (lambda store: PrefixKeysWrapper(store, prefix="p"), "col", "p__k1"),
        "PrefixCollectionsWrapper(prefix='p')": (
            lambda store: PrefixCollectionsWrapper(store, prefix="p"),
            "p__col",
            "k1",
        ),
        "SingleCollectionWrapper(single_collection='one')": (
            lambda store: SingleCollectionWrapper(store, single_collection="one"),
            "one",
            "col__k1",
        ),
    }
    stored: dict[str, Any] = {}
    for name, (wrap, collection, key) in wrappers.items():
        inner: Any = MemoryStore()
        await wrap(inner).put("k1", WRAPPED, collection="col")
        stored[name] = {f"{collection} | {key}": await inner.get(key, collection=collection)}
    inner = MemoryStore()
    adapter: Any = PydanticAdapter(key_value=inner, pydantic_model=list[int])
    await adapter.put("k", [1, 2], collection="col")
    stored["PydanticAdapter[list[int]]"] = {"col | k": await inner.get("k", collection="col")}
    return stored


def main(directory: str, redis_url: str) -> None:
    target = Path(directory)
    asyncio.run(write_stores(target, redis_url))
    for name, entries in (("redis", redis_entries(redis_url)), ("wrappers", asyncio.run(wrapper_entries()))):
        text = json.dumps(entries, ensure_ascii=False, indent=1)
        (target / f"{name}.json").write_text(text + "\n", encoding="utf-8")


main(*sys.argv[1:])
