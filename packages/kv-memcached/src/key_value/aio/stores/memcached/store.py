"""MemcachedStore, which stores each entry as an item named `collection::key`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from aiomcache import FlagClient
from key_value.aio.core import clock
from key_value.aio.core.entry import live_entry
from key_value.aio.core.envelope import dump_entry, load_entries, load_entry
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.marks import digest
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.urls import host_and_port
from key_value.aio.errors import DeserializationError, ValueTooLargeError
from key_value.aio.stores.base import (
    BaseDestroyStore,
    BaseVersionedStore,
    Capabilities,
    ManagedEntry,
    VersionedEntry,
)
from key_value.aio.stores.memcached.client import DRIVER_ERRORS, Item, Session, Stored, server_of
from key_value.aio.stores.memcached.connector import Server
from key_value.aio.stores.memcached.names import MAX_NAME_BYTES, stored_names

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["MemcachedStore"]

# Bytes of an item in addition to its name and data: header, CAS number, terminators of name and data.
_ITEM_OVERHEAD = 48 + 8 + 1 + 2
_ITEM_BYTES = 1024 * 1024
# Values of the maximum size take 100 MB.
_ENTRIES_PER_REMOVAL = 100

_MAX_RELATIVE_SECONDS = 30 * 24 * 60 * 60
# The server's clock advances in whole seconds, so a TTL of one second may end at once, with the next tick.
_TICK_SECONDS = 1
# An absolute expiry time is compared with the server's clock, which may be ahead of ours.
_MAX_CLOCK_SKEW_SECONDS = 3600
# Servers interpret later times differently.
_MAX_UNIX_TIME = 2**31 - 1


class MemcachedStore(BaseDestroyStore, BaseVersionedStore):
    """Entries in Memcached, which evicts the least recently used when full. Each batch is one round trip."""

    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        client: FlagClient[Any] | None = None,
        host: str = "127.0.0.1",
        port: int = 11211,
        default_collection: str | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        timeout: float | None = 5.0,
        max_item_bytes: int = _ITEM_BYTES,
    ) -> None:
        """Create a store from an aiomcache client, or a host and port.

        Only the address and the connection arguments (such as `ssl`) of `client` are used; it is neither called nor
        closed. Each event loop gets its own connections, two at most.

        `key_sanitization_strategy` maps the joined name `collection::key`; use MemcachedV1KeySanitizationStrategy for
        data written with it. Names that the server rejects are always mapped. `timeout` is the time limit in seconds
        for the server's answer, None for no limit; a batch gets `timeout` once more for each full thousand of its
        entries. `max_item_bytes` is the value of the server's option -I.

        Raises ValueError for an invalid host, a port outside 1 to 65535, and a limit that is not positive.
        """
        server = Server(host, port, {}) if client is None else server_of(client)
        if not _is_host(server.host) or not 0 < server.port < 2**16:
            message = f"host must be a name or an address and port 1 to 65535, not {server.host!r} and {server.port}"
            raise ValueError(message)
        largest = checked_count(max_item_bytes, "max_item_bytes", least=1024) - _ITEM_OVERHEAD - MAX_NAME_BYTES
        seconds = checked_timeout(timeout)
        self._server = server
        self._name_strategy = key_sanitization_strategy
        self._max_value_bytes = largest
        self._sessions = PerLoop(lambda: Session(server, seconds), Session.close)
        self.capabilities: Capabilities = Capabilities(
            native_expiry=True,
            expiry_resolution=1.0,
            max_value_bytes=largest,
            atomic_delete=True,
            conditional_writes=True,
        )
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        if url.username is not None or url.password is not None or url.path not in ("", "/"):
            message = "a Memcached URL has the form memcached://host:port, without user and path"
            raise ValueError(message)
        return {
            **({} if url.host is None else {"host": url.host}),
            **({} if url.port is None else {"port": url.port}),
        }

    def __repr__(self) -> str:
        host, port, _ = self._server
        return f"MemcachedStore(memcached://{host_and_port(host, port)})"

    async def _probe(self) -> None:
        await self._sessions.get().get(self._name(self.default_collection, "probe"))

    async def _close(self) -> None:
        await self._sessions.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        text = await self._sessions.get().get(self._name(collection, key))
        return None if text is None else load_entry(text)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        names = stored_names(collection, keys, self._name_strategy)
        return load_entries(await self._sessions.get().get_each(names))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._sessions.get().set(self._item(self._name(collection, key), managed_entry))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        # Build all items before sending the first: one may be too large.
        names = stored_names(collection, keys, self._name_strategy)
        items = [self._item(name, entry) for name, entry in zip(names, managed_entries, strict=True)]
        await self._sessions.get().set_each(items)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._sessions.get().delete(self._name(collection, key))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._sessions.get().delete_each(stored_names(collection, keys, self._name_strategy))

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        stored = await self._sessions.get().get_versioned(self._name(collection, key))
        return None if stored is None else VersionedEntry(load_entry(stored.text), _version(stored))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        session = self._sessions.get()
        item = self._item(self._name(collection, key), managed_entry)
        if version is not None:
            current = await self._live_with_version(collection, key, version)
            return current is not None and await session.replace(item, current)
        while not await session.add(item):
            stored = await session.get_versioned(item.name)
            if stored is None:
                continue  # it was removed meanwhile
            if live_entry(load_entry(stored.text), collection, key) is not None:
                return False
            # Expired by our clock; the server's clock lags behind.
            if await session.replace(item, stored):
                return True
        return True

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        current = await self._live_with_version(collection, key, version)
        return current is not None and await self._sessions.get().remove(self._name(collection, key), current)

    async def _live_with_version(self, collection: str, key: str, version: str) -> Stored | None:
        """Return the stored entry if it has that version and has not expired by our clock."""
        stored = await self._sessions.get().get_versioned(self._name(collection, key))
        if stored is None or _version(stored) != version:
            return None
        return None if live_entry(load_entry(stored.text), collection, key) is None else stored

    async def _delete_store(self) -> bool:
        session = self._sessions.get()
        names = await session.list_names()
        for start in range(0, len(names), _ENTRIES_PER_REMOVAL):
            page = names[start : start + _ENTRIES_PER_REMOVAL]
            texts = await session.get_each(page)
            written = [name for name, text in zip(page, texts, strict=True) if self._is_entry(name, text)]
            await session.delete_each(written)
        return True

    def _name(self, collection: str, key: str) -> bytes:
        return stored_names(collection, (key,), self._name_strategy)[0]

    def _item(self, name: bytes, entry: ManagedEntry) -> Item:
        text = dump_entry(entry)
        if len(text) > self._max_value_bytes:
            raise ValueTooLargeError(len(text), self._max_value_bytes, entry.collection, entry.key)
        return Item(name, text, 0 if entry.expires_at is None else _exptime(entry))

    def _is_entry(self, name: bytes, text: bytes | None) -> bool:
        """Whether the item is an entry stored under its own name, so that no foreign item is removed."""
        try:
            entry = None if text is None else load_entry(text)
        except DeserializationError:
            return False
        if entry is None or not entry.collection or not entry.key:
            return False
        # The second form is the name that earlier versions gave to a collection that contains the separator.
        return name in (self._name(entry.collection, entry.key), f"{entry.collection}::{entry.key}".encode())


def _is_host(text: str) -> bool:
    try:
        # asyncio encodes it the same way.
        return b"\0" not in text.encode("idna") and bool(text)
    except UnicodeError:
        return False


def _exptime(entry: ManagedEntry) -> int:
    """Return the protocol's exptime: relative seconds up to 30 days, beyond them a Unix time, or 0 for no expiry."""
    remaining = (entry.remaining(1.0) or 0) + _TICK_SECONDS
    if remaining <= _MAX_RELATIVE_SECONDS:
        return remaining
    unix_time = clock.microseconds_now() // 1_000_000 + remaining + _MAX_CLOCK_SKEW_SECONDS
    return unix_time if unix_time <= _MAX_UNIX_TIME else 0


def _version(stored: Stored) -> str:
    """Return the server's CAS number with a digest, because a restarted server counts from the start."""
    return f"{stored.cas_number}-{digest(stored.text)}"
