"""Stores with versions, and a look at the calls that reach one.

What is tested here holds on every store: another one is a line in `BACKENDS`.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import threading
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import import_module
from pathlib import Path
from random import random
from typing import TYPE_CHECKING, Any, SupportsFloat

import pytest
from key_value.aio.core import clock
from key_value.aio.protocols import Versioned
from key_value.aio.stores.base import BaseStore, ManagedEntry
from key_value.aio.stores.redis import RedisStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping

Entry = dict[str, Any]
"""The JSON text of a value, when it expires as ISO 8601 or None, and its version."""


class VersionedStore(BaseStore):
    """The least store with versions. `_entries` gives a moment in which nobody else sees or changes them."""

    hides: bool = False
    """Whether entries read as absent, as those do that a wrapper cannot decrypt."""

    @abstractmethod
    def _entries(self) -> Any: ...

    async def _pause(self) -> None:
        """What an operation waits for before and after it takes effect."""

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        await self._pause()
        with self._entries() as entries:
            entry = _live(entries, self._place(key, collection))
        await self._pause()
        if entry is None:
            return Versioned(None, None, None)
        found = _managed(entry)
        return Versioned(None if self.hides else found.fresh_value(), found.ttl, entry["version"])

    async def put_if_version(
        self,
        key: str,
        value: Mapping[str, Any],
        version: str | None,
        *,
        collection: str | None = None,
        ttl: SupportsFloat | None = None,
    ) -> bool:
        new = ManagedEntry(value=value) if ttl is None else ManagedEntry.from_ttl(value=value, ttl=ttl)
        await self._pause()
        with self._entries() as entries:
            place = self._place(key, collection)
            stored = _version(entries, place) == version
            if stored:
                _put(entries, place, new)
        await self._pause()
        return stored

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        await self._pause()
        with self._entries() as entries:
            place = self._place(key, collection)
            removed = _version(entries, place) == version
            if removed:
                del entries[place]
        await self._pause()
        return removed

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        with self._entries() as entries:
            entry = _live(entries, self._place(key, collection))
        return None if entry is None else _managed(entry)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        with self._entries() as entries:
            _put(entries, self._place(key, collection), managed_entry)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        with self._entries() as entries:
            return _live(entries, place := self._place(key, collection)) is not None and bool(entries.pop(place))

    def _place(self, key: str, collection: str | None) -> str:
        return json.dumps([collection or self.default_collection, key])


def _live(entries: dict[str, Entry], place: str) -> Entry | None:
    entry = entries.get(place)
    return None if entry is None or _managed(entry).is_expired else entry


def _version(entries: dict[str, Entry], place: str) -> str | None:
    entry = _live(entries, place)
    return None if entry is None else entry["version"]


def _managed(entry: Entry) -> ManagedEntry:
    expires_at = None if entry["expires_at"] is None else datetime.fromisoformat(entry["expires_at"])
    return ManagedEntry(value=json.loads(entry["value"]), expires_at=expires_at)


def _put(entries: dict[str, Entry], place: str, entry: ManagedEntry) -> None:
    version = int(entries.get("", {"version": 0})["version"]) + 1
    entries[""] = {"version": version}
    entries[place] = {
        "value": entry.value_as_json,
        "expires_at": entry.expires_at_isoformat,
        "version": f"{version} of {clock.now().isoformat()}",
    }


@dataclass
class Memory:
    """Entries that several store objects share."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    lock: threading.Lock = field(default_factory=threading.Lock)


class SharedStore(VersionedStore):
    """In memory, and done before anybody else runs."""

    def __init__(self, memory: Memory | None = None) -> None:
        super().__init__()
        self.memory = memory or Memory()

    @contextmanager
    def _entries(self) -> Generator[dict[str, Entry]]:
        with self.memory.lock:
            yield self.memory.entries


class YieldingStore(SharedStore):
    """Lets every other task run before and after each operation takes effect."""

    async def _pause(self) -> None:
        await asyncio.sleep(0)


class SlowStore(SharedStore):
    """As slow as a server that is near, and as irregular."""

    async def _pause(self) -> None:
        await asyncio.sleep(0.001 * random())  # noqa: S311 — no secret


class FileStore(VersionedStore):
    """In a file that processes share."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)

    @contextmanager
    def _entries(self) -> Generator[dict[str, Entry]]:
        with self.path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            before = file.read()
            entries = json.loads(before or "{}")
            yield entries
            if (after := json.dumps(entries)) != before:
                file.truncate(0)
                file.write(after)


def open_store(path: str, options: Mapping[str, Any]) -> Any:
    """A store of the class that is named as `module:class`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)(**options)


@dataclass(frozen=True)
class Backend:
    """Where entries are, for any number of store objects."""

    path: str
    """The class, as `module:class`."""
    options: dict[str, Any]
    """For its constructor; JSON where processes can share it."""
    has_processes: bool
    load: int = 100
    """Concurrent callers, and calls of each, that take a few seconds at most."""
    is_shared: bool = True
    """Whether a second store object sees what the first one stored; otherwise there is one."""
    opened: list[Any] = field(default_factory=list[Any])

    def open(self) -> Any:
        if self.is_shared or not self.opened:
            self.opened.append(self._open())
        return self.opened[-1]

    def _open(self) -> Any:
        if self.path.startswith("conftest:"):
            return globals()[self.path.partition(":")[2]](**self.options)
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
    "shared": lambda _: Backend("conftest:SharedStore", {"memory": Memory()}, has_processes=False),
    "yielding": lambda _: Backend("conftest:YieldingStore", {"memory": Memory()}, has_processes=False),
    "slow": lambda _: Backend("conftest:SlowStore", {"memory": Memory()}, has_processes=False, load=20),
    "file": lambda path: Backend("conftest:FileStore", {"path": str(path / "entries")}, has_processes=True, load=30),
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
    """For tests in which an entry expires between a read and a write, by a clock that they move."""
    if backend.path.endswith("RedisStore"):
        pytest.skip("Redis decides by its own clock whether an entry has expired")


@pytest.fixture
async def store(backend: Backend) -> AsyncIterator[Any]:
    async with backend.open() as store:
        yield store


class Watched:
    """The conditional calls of a store, noted, and what happens around them if a test says so."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.calls: list[str] = []
        self.before_read: Callable[[], Awaitable[object]] | None = None
        """Happens before the next read, once."""
        self.before_write: Callable[[], Awaitable[object]] | None = None
        """Happens before the next write, once."""
        self.after_write: Callable[[], Awaitable[object]] | None = None
        """Happens after the next write took effect, once."""

    async def get_versioned(self, key: str, *, collection: str | None = None) -> Versioned:
        self.calls.append("get_versioned")
        await self._happen("before_read")
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
        await self._happen("before_write")
        stored = await self.store.put_if_version(key, value, version, collection=collection, ttl=ttl)
        await self._happen("after_write")
        return stored

    async def delete_if_version(self, key: str, version: str, *, collection: str | None = None) -> bool:
        self.calls.append("delete_if_version")
        await self._happen("before_write")
        removed = await self.store.delete_if_version(key, version, collection=collection)
        await self._happen("after_write")
        return removed

    async def _happen(self, when: str) -> None:
        event = getattr(self, when)
        setattr(self, when, None)
        if event is not None:
            await event()


@pytest.fixture
def watched(store: Any) -> Watched:
    return Watched(store)


@pytest.fixture
def hiding() -> SharedStore:
    """A store whose entry under "key" reads as absent."""
    store = SharedStore()
    asyncio.run(store.put("key", {"secret": 1}, ttl=60))
    store.hides = True
    return store


def concurrently(number: int, work: Callable[[], Awaitable[object]]) -> None:
    """Run the work in so many threads, each with an event loop of its own; raise what one raised."""
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
