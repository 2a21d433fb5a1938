"""The copy program of docs/copying.md between all supported stores, and its use of memory with many entries."""

from __future__ import annotations

import asyncio
import gc
import re
import time
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from key_value.aio.core.iteration import iterate_entries
from key_value.aio.protocols import AsyncScanProtocol
from key_value.aio.stores.disk import DiskStore
from key_value.aio.stores.redis import RedisStore
from key_value.aio.urls import open_store
from workspace import ROOT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

ENTRIES = 20_000
COLLECTION = "copied"
# Pairs: neighbours in the ring, and each store to disk and back. The program depends only on the protocols.
RING = (
    "redis",
    "valkey",
    "postgresql",
    "mongodb",
    "dynamodb",
    "firestore",
    "s3",
    "opensearch",
    "elasticsearch",
    "vault",
    "aerospike",
)
PAIRS = [
    *zip(RING, (*RING[1:], RING[0]), strict=True),
    *((source, "disk") for source in RING),
    *(("disk", target) for target in (*RING, "memcached")),  # which cannot list its entries
]
BACKENDS_WITH_MANY_ENTRIES = ("disk", "redis", "valkey", "postgresql", "dynamodb", "s3", "memcached")


class RedisServer(Protocol):
    @property
    def url(self) -> str: ...


def copy_program() -> Callable[..., Awaitable[int]]:
    text = (ROOT / "docs/copying.md").read_text(encoding="utf-8")
    block = re.search(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    names: dict[str, Any] = {}
    exec(block[1], names)  # noqa: S102 — our own documentation
    return names["copy"]


async def test_entries_are_copied_from_redis_to_disk_and_back_with_their_remaining_ttl(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    copy = copy_program()
    keys = [f"key {number}" for number in range(ENTRIES)]
    async with RedisStore(url=redis_server.url) as redis, DiskStore(path=tmp_path) as disk:
        await redis.put_many(keys, [{"n": number} for number in range(ENTRIES)], collection=COLLECTION)
        await redis.put_many(keys[::100], [{"n": "short"}] * len(keys[::100]), collection=COLLECTION, ttl=600)
        started = time.perf_counter()
        assert await copy(redis, disk, COLLECTION) >= ENTRIES
        on_disk = time.perf_counter()
        assert await redis.destroy_collection(COLLECTION)
        assert await copy(disk, redis, COLLECTION) == ENTRIES
        back = time.perf_counter()
        found = {entry.key: entry async for entry in iterate_entries(redis, COLLECTION)}
        await redis.destroy_collection(COLLECTION)
    assert found.keys() == set(keys)
    for number, key in enumerate(keys):
        value, ttl = found[key].value, found[key].ttl
        if number % 100:
            assert (value, ttl) == ({"n": number}, None)
        else:
            assert value == {"n": "short"}
            assert ttl is not None
            assert 300 < ttl < 600
    # For information; no test depends on it.
    print(f"{ENTRIES / (on_disk - started):.0f} entries a second to disk, {ENTRIES / (back - on_disk):.0f} back")  # noqa: T201


@pytest.mark.parametrize(("source", "target"), PAIRS)
async def test_entries_are_copied_from_any_store_to_any_other(
    url_of: Callable[[str], str], tmp_path: Path, source: str, target: str
) -> None:
    def opened(backend: str) -> Any:
        return open_store(f"disk://{tmp_path}" if backend == "disk" else url_of(backend))

    copy = copy_program()
    values = {f"key {number} of höme/é": {"n": number, "text": "é" * number} for number in range(50)}
    collection = f"{source}:{target}"
    async with opened(source) as one, opened(target) as other:
        await one.put_many(list(values), list(values.values()), collection=collection)
        await one.put("short", {"n": -1}, collection=collection, ttl=600)
        assert await copy(one, other, collection) == len(values) + 1
        assert await other.get_many(list(values), collection=collection) == list(values.values())
        value, ttl = await other.ttl("short", collection=collection)
        await asyncio.gather(*(store.delete_many([*values, "short"], collection=collection) for store in (one, other)))
    assert value == {"n": -1}
    assert ttl is not None
    assert 500 < ttl <= 600


@pytest.mark.parametrize("backend", BACKENDS_WITH_MANY_ENTRIES)
async def test_ten_thousand_stored_and_removed_entries_leave_nothing_in_memory(
    url_of: Callable[[str], str], tmp_path: Path, backend: str
) -> None:
    keys = [f"key {number}" for number in range(10_000)]
    values = [{"n": number} for number in range(10_000)]
    opened: Any = open_store(f"disk://{tmp_path}" if backend == "disk" else url_of(backend))
    async with opened as store:

        async def use(size: int) -> None:
            await store.put_many(keys[:size], values[:size], collection=COLLECTION)
            assert await store.get_many(keys[:size], collection=COLLECTION) == values[:size]
            if isinstance(opened, AsyncScanProtocol):
                listed = [entry.key async for entry in iterate_entries(store, COLLECTION)]
                assert sorted(listed) == sorted(keys[:size])
                assert await store.destroy_collection(COLLECTION) is True
            else:
                assert await store.delete_many(keys[:size], collection=COLLECTION) == size
            assert await store.get_many(keys[:size:100], collection=COLLECTION) == [None] * len(keys[:size:100])

        await use(100)  # creates connections, statements and modules
        before = tracked_objects()
        await use(10_000)
        assert tracked_objects() - before < 1000


def tracked_objects() -> int:
    """Return the number of objects tracked by the garbage collector, such as entries, tasks and frames."""
    gc.collect()
    return len(gc.get_objects())
