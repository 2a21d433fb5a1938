"""MemoryStore: collections as dicts, and a queue of expiring entries."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from weakref import ref

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.forks import new_lock
from key_value.aio.core.numbers import checked_int
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.base import (
    SEED_DATA_TYPE,
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseVersionedStore,
    ManagedEntry,
    VersionedEntry,
)
from key_value.aio.stores.memory.expiry import ExpiryQueue

__all__ = ["MemoryStore"]

# Removing 1 000 entries takes about a millisecond; then the event loop can run other callbacks.
_MAX_SWEPT_PER_STEP = 1000
_SWEEP_INTERVAL = timedelta(seconds=1)
_NO_DELAY = timedelta(0)


class MemoryStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in dicts, as JSON text, so that no caller shares an object with the store.

    Usable from any number of event loops and threads. Data does not survive the process; `close` keeps it. A forked
    child starts with a copy of the entries; later changes are not shared. Pickling or copying creates a new store with
    the same options, which contains only its seed.
    """

    capabilities: Capabilities = Capabilities(
        native_expiry=True,
        expiry_resolution=1e-6,
        atomic_put_many=True,
        atomic_delete=True,
        conditional_writes=True,
    )

    @warn_types
    def __init__(
        self,
        *,
        max_entries_per_collection: int | None = None,
        default_collection: str | None = None,
        seed: SEED_DATA_TYPE | None = None,
    ) -> None:
        """Store the options.

        A put beyond `max_entries_per_collection` evicts expired entries, then the least recently used one; puts and
        reads count as use. `seed`, a mapping collection → key → value, is stored on first use.

        Raises ValueError for a maximum below one, and TypeError unless it is an int or None.
        """
        max_entries = checked_int(max_entries_per_collection, "max_entries_per_collection")
        if max_entries is not None and max_entries < 1:
            message = f"max_entries_per_collection must be at least 1 or None, not {max_entries_per_collection}"
            raise ValueError(message)
        self._max_entries = max_entries
        self._collections: dict[str, dict[str, ManagedEntry]] = {}
        self._expiries = ExpiryQueue()
        self._next_sweep: datetime | None = None
        self._lock = new_lock()
        super().__init__(default_collection=default_collection, seed=seed)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        entries = self._collections.get(collection)
        if entries is None:
            return None
        if self._max_entries is not None:
            with self._lock:
                self._mark_used(entries, (key,))
        return entries.get(key)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        entries = self._collections.get(collection, {})
        if self._max_entries is not None:
            with self._lock:
                self._mark_used(entries, keys)
        return [entries.get(key) for key in keys]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        with self._lock:
            self._store(collection, (key,), (managed_entry,))
        if managed_entry.expires_at is not None:
            self._schedule_sweep(managed_entry.expires_at, managed_entry.created_at or clock.now())

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        with self._lock:
            self._store(collection, keys, managed_entries)
        if managed_entries[0].expires_at is not None:
            self._schedule_sweep(managed_entries[0].expires_at, managed_entries[0].created_at or clock.now())

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        with self._lock:
            return self._remove(collection, key)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        with self._lock:
            return sum([self._remove(collection, key) for key in keys])

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        entry = await self._get_managed_entry(collection=collection, key=key)
        return None if entry is None else VersionedEntry(entry, str(entry.revision))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        with self._lock:
            if self._version(collection, key) != version:
                return False
            self._store(collection, (key,), (managed_entry,))
        if managed_entry.expires_at is not None:
            self._schedule_sweep(managed_entry.expires_at, managed_entry.created_at or clock.now())
        return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        with self._lock:
            return self._version(collection, key) == version and self._remove(collection, key)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        now = clock.now()
        with self._lock:
            live = (
                key
                for key, entry in self._collections.get(collection, {}).items()
                if entry.expires_at is None or entry.expires_at > now
            )
            return list(islice(live, limit))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        with self._lock:
            self._sweep()
            return list(islice(self._collections, limit))

    async def _delete_store(self) -> bool:
        with self._lock:
            self._collections = {}
            self._expiries = ExpiryQueue()
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        with self._lock:
            self._sweep()
            return self._collections.pop(collection, None) is not None

    async def _cull(self) -> None:
        with self._lock:
            self._sweep()

    # The caller of these methods holds the lock

    def _store(self, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]) -> None:
        entries = self._collections.get(collection)
        if entries is None:
            entries = self._collections[collection] = {} if self._max_entries is None else OrderedDict()
        for key, entry in zip(keys, managed_entries, strict=True):
            entries[key] = entry
        expires_at = managed_entries[0].expires_at
        if expires_at is not None:
            for key in keys:
                self._expiries.push(expires_at, collection, key)
            if self._expiries.is_stale:
                self._expiries.rebuild(self._expiring_names())
        if self._max_entries is not None and isinstance(entries, OrderedDict):
            self._mark_used(entries, keys)
            if len(entries) > self._max_entries:
                self._sweep()
            while len(entries) > self._max_entries:
                entries.popitem(last=False)

    def _version(self, collection: str, key: str) -> str | None:
        """Return the version of the live entry, or None."""
        entry = self._collections.get(collection, {}).get(key)
        return None if entry is None or entry.is_expired else str(entry.revision)

    def _mark_used(self, entries: dict[str, ManagedEntry], keys: Sequence[str]) -> None:
        for key in keys:
            if key in entries and isinstance(entries, OrderedDict):
                entries.move_to_end(key)

    def _remove(self, collection: str, key: str) -> bool:
        entries = self._collections.get(collection, {})
        entry = entries.pop(key, None)
        if not entries:
            self._collections.pop(collection, None)
        return entry is not None and not entry.is_expired

    def _sweep(self, limit: int | None = None) -> None:
        """Remove expired entries, at most `limit` of them."""
        for expires_at, collection, key in self._expiries.pop_expired(clock.now(), limit):
            entry = self._collections.get(collection, {}).get(key)
            if entry is not None and entry.expires_at is not None and entry.expires_at <= expires_at:
                self._remove(collection, key)

    def _expiring_names(self) -> Iterator[tuple[datetime, str, str]]:
        for collection, entries in self._collections.items():
            for key, entry in entries.items():
                if entry.expires_at is not None:
                    yield entry.expires_at, collection, key

    # These methods acquire the lock themselves

    def _schedule_sweep(self, expires_at: datetime, now: datetime) -> None:
        """Schedule the removal of an entry soon after its expiry, even if the store is not used again."""
        next_sweep = self._next_sweep
        if next_sweep is not None and now < next_sweep <= expires_at:
            return
        due = max(expires_at, now + _SWEEP_INTERVAL)
        if next_sweep is not None and next_sweep <= due:
            if now < next_sweep + _SWEEP_INTERVAL:
                return
            # Overdue: its event loop has ended or is busy with puts, which add entries faster than steps remove them.
            with self._lock:
                self._sweep()
        self._sweep_in(due - now)

    def _sweep_in(self, delay: timedelta) -> None:
        from asyncio import get_running_loop

        self._next_sweep = due = clock.now() + delay
        store_ref = ref(self)  # the event loop must not keep an unused store alive

        def sweep() -> None:
            store = store_ref()
            if store is not None:
                store._sweep_step(due)  # noqa: SLF001 — same class

        with suppress(RuntimeError):  # no asyncio event loop: the next put that finds the sweep overdue performs it
            get_running_loop().call_later(delay.total_seconds(), sweep)

    def _sweep_step(self, due: datetime) -> None:
        if due is not self._next_sweep:
            return  # superseded by a later sweep
        with self._lock:
            self._sweep(_MAX_SWEPT_PER_STEP)
            next_expiry = self._expiries.next_expiry
        if next_expiry is None:
            self._next_sweep = None
        else:
            remaining = next_expiry - clock.now()
            self._sweep_in(max(remaining, _SWEEP_INTERVAL) if remaining > _NO_DELAY else _NO_DELAY)
