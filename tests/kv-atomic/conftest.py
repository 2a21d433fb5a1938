"""Stores with versions, and a wrapper that records their calls.

The tests of this package run on every store in `BACKENDS`.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, SupportsFloat

import pytest
from key_value.aio.stores.redis import RedisStore
from key_value.aio.testing import FakeClock

from . import versioned_stores
from .versioned_stores import Memory, SharedStore, open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from pathlib import Path

    from key_value.aio.protocols import Versioned


@dataclass(frozen=True)
class Backend:
    """A store class and its data, for any number of store objects."""

    path: str
    """The class, as `module:class`."""
    options: dict[str, Any]
    """Arguments of its constructor; serializable as JSON if processes can share the data."""
    has_processes: bool
    load: int = 100
    """Number of concurrent callers, and of calls by each, that take at most a few seconds."""
    is_shared: bool = True
    """Whether a second store object sees the first one's entries; if not, `open` returns the same object."""
    opened: list[Any] = field(default_factory=list[Any])

    def open(self) -> Any:
        if self.is_shared or not self.opened:
            self.opened.append(self._open())
        return self.opened[-1]

    def _open(self) -> Any:
        if self.path.startswith("versioned_stores:"):
            return getattr(versioned_stores, self.path.partition(":")[2])(**self.options)
        return open_store(self.path, self.options)


def local(store: str, **options: Any) -> Callable[[Path], Backend]:
    """A backend with its data in the directory of the test."""
    return lambda directory: Backend(
        f"key_value.aio.stores.{store}",
        {name: str(directory / option) for name, option in options.items()},
        has_processes=True,
    )


def in_one_object(store: str, **options: Any) -> Callable[[Path], Backend]:
    return lambda directory: replace(local(store, **options)(directory), has_processes=False, is_shared=False)


BACKENDS: dict[str, Callable[[Path], Backend]] = {
    "shared": lambda _: Backend("versioned_stores:SharedStore", {"memory": Memory()}, has_processes=False),
    "yielding": lambda _: Backend("versioned_stores:YieldingStore", {"memory": Memory()}, has_processes=False),
    "slow": lambda _: Backend("versioned_stores:SlowStore", {"memory": Memory()}, has_processes=False, load=20),
    "file": lambda path: Backend(
        "versioned_stores:FileStore", {"path": str(path / "entries")}, has_processes=True, load=30
    ),
    "memory": in_one_object("memory:MemoryStore"),
    "simple": in_one_object("simple:SimpleStore"),
    "disk": local("disk:DiskStore", directory="disk"),
    "multi-disk": local("disk:MultiDiskStore", base_directory="disks"),
    "filetree": local("filetree:FileTreeStore", data_directory="tree"),
    "rocksdb": in_one_object("rocksdb:RocksDBStore", path="rocks"),
    "duckdb": lambda path: replace(
        local("duckdb:DuckDBStore", database_path="duck.db")(path), has_processes=False, load=30
    ),
    "redis": lambda _: Backend("key_value.aio.stores.redis:RedisStore", {}, has_processes=True),
}


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    backend = BACKENDS[request.param](tmp_path)
    if request.param != "redis":
        return backend
    server = request.getfixturevalue("redis_server")
    asyncio.run(RedisStore(url=server.url).destroy())
    return replace(backend, options={"url": server.url})


@pytest.fixture
def expires_by_our_clock(backend: Backend) -> None:
    """Skip backends on which advancing the fake clock does not expire an entry between a read and a write."""
    if backend.path.endswith("RedisStore"):
        pytest.skip("Redis decides by its own clock whether an entry has expired")


@pytest.fixture
def clock() -> Iterator[FakeClock]:
    with FakeClock() as clock:
        yield clock


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Any]:
    async with backend.open() as store:
        yield store


class Watched:
    """Records the conditional calls of a store and runs the test's hooks around them."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: list[str] = []
        self.before_read: Callable[[], Awaitable[object]] | None = None
        """Called once, before the next read."""
        self.before_write: Callable[[], Awaitable[object]] | None = None
        """Called once, before the next write."""
        self.after_write: Callable[[], Awaitable[object]] | None = None
        """Called once, after the next write took effect."""

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        self.calls.append("get_versioned")
        await self._run_hook("before_read")
        return await self.store.get_versioned(key, collection=collection)

    async def put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        self.calls.append("put_if_version")
        await self._run_hook("before_write")
        stored = await self.store.put_if_version(key, value, version, collection=collection, ttl=ttl)
        await self._run_hook("after_write")
        return stored

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        self.calls.append("delete_if_version")
        await self._run_hook("before_write")
        removed = await self.store.delete_if_version(key, version, collection=collection)
        await self._run_hook("after_write")
        return removed

    async def _run_hook(self, when: str) -> None:
        event = getattr(self, when)
        setattr(self, when, None)
        if event is not None:
            await event()


@pytest.fixture
def watched(store: Any) -> Watched:
    return Watched(store)


@pytest.fixture
def hiding() -> SharedStore:
    """A store that reads the entry under "key" as absent."""
    store = SharedStore()
    asyncio.run(store.put("key", {"secret": 1}, ttl=60))
    store.hides = True
    return store


def concurrently(number: int, work: Callable[[], Awaitable[object]]) -> None:
    """Run the work in `number` threads, each with its own event loop; raise the first exception."""
    failures: list[BaseException] = []
    start = threading.Barrier(number)

    def run() -> None:
        start.wait()
        try:
            asyncio.run(_run(work))
        except BaseException as failure:  # noqa: BLE001 — raised below, in the test
            failures.append(failure)

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for failure in failures:
        raise failure


async def _run(work: Callable[[], Awaitable[object]]) -> None:
    await work()


@pytest.fixture(name="concurrently")
def concurrently_fixture() -> Callable[[int, Callable[[], Awaitable[object]]], None]:
    return concurrently
