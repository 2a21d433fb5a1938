"""Stores with versions, for these tests only."""

from __future__ import annotations

import asyncio
import fcntl
import json
import threading
from abc import abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from random import random
from typing import TYPE_CHECKING, Any, SupportsFloat

from key_value.aio.core import clock
from key_value.aio.protocols import Versioned
from key_value.aio.stores.base import BaseStore, ManagedEntry

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

Entry = dict[str, Any]
"""The value as JSON text, its expiry in ISO 8601 format or None, and its version."""


class VersionedStore(BaseStore):
    """A minimal store with versions. `_entries` gives exclusive access to the entries."""

    hides: bool = False
    """Whether entries read as absent, like entries that a wrapper cannot decrypt."""

    @abstractmethod
    def _entries(self) -> Any: ...

    async def _pause(self) -> None:
        """Wait, before and after an operation takes effect."""

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
    """Entries shared by several store objects."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    lock: threading.Lock = field(default_factory=threading.Lock)


class SharedStore(VersionedStore):
    """Keeps entries in memory and completes each operation without yielding."""

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
    """Delays operations randomly by up to a millisecond, like a nearby server."""

    async def _pause(self) -> None:
        await asyncio.sleep(0.001 * random())  # noqa: S311 — no secret


class FileStore(VersionedStore):
    """Keeps entries in a file that processes can share."""

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
    """Return a store of the class named as `module:class`."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)(**options)
