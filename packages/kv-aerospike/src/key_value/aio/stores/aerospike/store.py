"""AerospikeStore, which stores each entry as a record of one set, named `collection::key`."""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

from key_value.aio.core.entry import live_entry
from key_value.aio.core.forks import ForkGuard
from key_value.aio.core.marks import digest
from key_value.aio.core.numbers import checked_count, checked_timeout, scaled_timeout
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker_pool import SharedResource, WorkerPool
from key_value.aio.stores.aerospike.client import Item, Records, Stored, connect
from key_value.aio.stores.aerospike.envelopes import RECORD_OVERHEAD, entries_of, entry_of, item_of
from key_value.aio.stores.aerospike.errors import DRIVER_ERRORS
from key_value.aio.stores.aerospike.names import original_names, stored_names, stored_prefix
from key_value.aio.stores.aerospike.options import Host, check_options, describe, options_of_url, seeds
from key_value.aio.stores.aerospike.pages import FIRST, Position, list_page
from key_value.aio.stores.base import (
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseScanStore,
    BaseVersionedStore,
    Capabilities,
    KeyPage,
    ManagedEntry,
    VersionedEntry,
)

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["AerospikeStore"]

_DEFAULT_MAX_RECORD_BYTES = 1024 * 1024
_LEAST_MAX_RECORD_BYTES = 1024
# Threads for batches, listings and removals, so that single operations never wait for them.
_LONG_CALL_THREADS = 4
# The client's own default.
_MIN_CONNECTIONS_PER_NODE = 100
_MAX_PAGE_ENTRIES = 10_000
_ENTRIES_PER_REMOVAL = 1000
_VERSION = re.compile(r"[1-9][0-9]{0,4}-[0-9a-f]{40}", re.ASCII)
_CLOSING_SECONDS = 5.0


class AerospikeStore(
    BaseScanStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseDestroyCollectionStore, BaseVersionedStore
):
    """Entries in an Aerospike set, with native expiry in seconds. Each batch is one request per server.

    The C client blocks, so its calls run in threads.
    """

    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        hosts: Sequence[Host] | None = None,
        namespace: str = "test",
        set_name: str = "kv-store",
        default_collection: str | None = None,
        auto_create: bool = True,  # noqa: ARG002 — see below
        user: str | None = None,
        password: str | None = None,
        client_config: Mapping[str, Any] | None = None,
        timeout: float | None = 5.0,
        max_connections: int = 16,
        max_record_bytes: int = _DEFAULT_MAX_RECORD_BYTES,
    ) -> None:
        """Create a store from a client, or some hosts of a cluster.

        `client` comes from `aerospike.client`; the caller closes it, and it belongs to the process that created it.
        Without a client, each process gets its own, created at the first use. `hosts` are tuples of name, port and
        optionally TLS name; the first that answers reports the rest of the cluster. `client_config` holds further
        entries of the client's configuration, such as "tls".

        The namespace must exist. `auto_create`, from earlier versions, has no effect. The set belongs to the store:
        `destroy` removes everything in it.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` single operations are in flight at once, each in
        a thread. `max_record_bytes` is the namespace's max-record-size.

        Raises ValueError for invalid hosts, for a client together with connection options, for an invalid namespace or
        set name, and for a limit that is not positive; TypeError for a client of another type.
        """
        given = {"hosts": hosts, "user": user, "password": password, "client_config": client_config}
        check_options(client, given, namespace, set_name)
        self._timeout = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        self._max_record_bytes = checked_count(max_record_bytes, "max_record_bytes", least=_LEAST_MAX_RECORD_BYTES)
        self._location = (
            describe(hosts, namespace, set_name) if client is None else f"{namespace}/{set_name} of the client"
        )
        if client is None:
            config: dict[str, Any] = {
                "max_conns_per_node": max(_MIN_CONNECTIONS_PER_NODE, max_connections + _LONG_CALL_THREADS),
                **(client_config or {}),
                "hosts": seeds(hosts),
            }
            config.update({name: text for name, text in (("user", user), ("password", password)) if text is not None})

            def open_records() -> Records:
                return Records(connect(config, self._timeout), namespace, set_name)

            resource = SharedResource(open_records, Records.close)
        else:
            alone = ForkGuard("a client of Aerospike")
            # Its thread and connections belong to this process, even before the first call.
            alone.use()

            def wrap_client() -> Records:
                alone.use()
                return Records(client, namespace, set_name)

            resource = SharedResource(wrap_client, _leave_open)
        self._single_pool = WorkerPool(resource, max_connections)
        self._long_pool = WorkerPool(resource, _LONG_CALL_THREADS)
        self.capabilities: Capabilities = Capabilities(
            durable=True,
            native_expiry=True,
            expiry_resolution=1.0,
            max_value_bytes=max_record_bytes - RECORD_OVERHEAD,
            atomic_delete=True,
            conditional_writes=True,
        )
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return options_of_url(url)

    def __repr__(self) -> str:
        return f"AerospikeStore({self._location})"

    # Lifecycle

    async def _setup(self) -> None:
        # Detects an unknown namespace and a wrong password.
        await asyncio.wait_for(self._read_record(self.default_collection, "probe"), self._timeout)

    async def _probe(self) -> None:
        await self._read_record(self.default_collection, "probe")

    async def _close(self) -> None:
        # A thread ends only when its call returns.
        with suppress(asyncio.TimeoutError):
            closing = asyncio.gather(self._single_pool.close(), self._long_pool.close())
            await asyncio.wait_for(closing, _CLOSING_SECONDS + (self._timeout or 0))

    # Single entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        stored = await self._read_record(collection, key)
        return None if stored is None else entry_of(stored.text)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._single_pool.run(Records.put, self._deadline(), self._item(collection, key, managed_entry))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._single_pool.run(Records.delete, self._deadline(), _name(collection, key))

    async def _read_record(self, collection: str, key: str) -> Stored | None:
        return await self._single_pool.run(Records.get, self._deadline(), _name(collection, key))

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        found = await self._long_pool.run(Records.get_each, self._deadline(len(keys)), stored_names(collection, keys))
        return entries_of(found)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        # Build all items before sending the first: one may be too large.
        names = stored_names(collection, keys)
        items = [
            item_of(name, entry, self._max_record_bytes) for name, entry in zip(names, managed_entries, strict=True)
        ]
        await self._long_pool.run(Records.put_each, self._deadline(len(items)), items)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._long_pool.run(Records.delete_each, self._deadline(len(keys)), stored_names(collection, keys))

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        stored = await self._read_record(collection, key)
        return None if stored is None else VersionedEntry(entry_of(stored.text), _version(stored))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        item, deadline = self._item(collection, key, managed_entry), self._deadline()
        if version is not None:
            current = await self._live_with_version(collection, key, version)
            return current is not None and await self._single_pool.run(Records.replace, deadline, item, current)
        while not await self._single_pool.run(Records.add, deadline, item):
            stored = await self._single_pool.run(Records.get, deadline, item.name)
            if stored is None:
                continue  # it was removed meanwhile
            if live_entry(entry_of(stored.text), collection, key) is not None:
                return False
            # Expired by our clock; the server's clock lags behind.
            if await self._single_pool.run(Records.replace, deadline, item, stored):
                return True
        return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        current = await self._live_with_version(collection, key, version)
        if current is None:
            return False
        return await self._single_pool.run(Records.delete_stored, self._deadline(), _name(collection, key), current)

    async def _live_with_version(self, collection: str, key: str, version: str) -> Stored | None:
        """Return the stored entry if it has that version and has not expired by our clock."""
        if not _VERSION.fullmatch(version):
            message = "the version was not returned by a store on Aerospike"
            raise ValueError(message)
        stored = await self._read_record(collection, key)
        if stored is None or _version(stored) != version:
            return None
        return None if live_entry(entry_of(stored.text), collection, key) is None else stored

    # Listing and removing

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        position = FIRST if cursor is None else Position.parse(cursor)
        found, next_position = await self._list_page(
            position, min(limit, _MAX_PAGE_ENTRIES), stored_prefix(collection, prefix)
        )
        names = (original_names(name) for name, _ in found)
        keys = [name[1] for name in names if name is not None and name[0] == collection]
        return KeyPage(keys, None if next_position is None else str(next_position))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        position: Position | None = FIRST
        while position is not None and (limit is None or len(collections) < limit):
            found, position = await self._list_page(position, _MAX_PAGE_ENTRIES, None)
            names = (original_names(name) for name, _ in found)
            collections.update((name[0], None) for name in names if name is not None)
        return list(islice(collections, limit))

    async def _delete_collection(self, *, collection: str) -> bool:
        position: Position | None = FIRST
        count = 0
        while position is not None:
            found, position = await self._list_page(position, _ENTRIES_PER_REMOVAL, stored_prefix(collection, ""))
            count += await self._long_pool.run(
                Records.delete_each, self._deadline(len(found)), [each for _, each in found]
            )
        return count > 0

    async def _delete_store(self) -> bool:
        await self._long_pool.run(Records.truncate, self._deadline())
        return True

    async def _list_page(
        self, position: Position, limit: int, prefix: str | None
    ) -> tuple[list[tuple[str, bytes]], Position | None]:
        return await self._long_pool.run(list_page, self._deadline(), position, limit, prefix)

    def _item(self, collection: str, key: str, entry: ManagedEntry) -> Item:
        return item_of(_name(collection, key), entry, self._max_record_bytes)

    def _deadline(self, entries: int = 1) -> float | None:
        seconds = scaled_timeout(self._timeout, entries)
        return None if seconds is None else time.monotonic() + seconds


def _name(collection: str, key: str) -> str:
    return stored_names(collection, (key,))[0]


def _version(stored: Stored) -> str:
    """Return the record's generation with a digest, because a new record starts again at generation 1."""
    return f"{stored.generation}-{digest(stored.text)}"


def _leave_open(_: Records) -> None:
    """Leave the client open: the caller closes it."""
