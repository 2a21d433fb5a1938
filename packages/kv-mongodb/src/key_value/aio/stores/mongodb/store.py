"""MongoDBStore: one document per entry, one MongoDB collection per collection."""

import logging
from asyncio import gather
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

from key_value.aio.core.driver_errors import reraise
from key_value.aio.core.lifecycle import OncePer, PerLoop
from key_value.aio.core.numbers import checked_timeout
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import BaseKeyValueError, StoreSetupError
from key_value.aio.stores.base import (
    BaseCullStore,
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
from key_value.aio.stores.mongodb.names import (
    MongoDBV1CollectionSanitizationStrategy,
    check_database_name,
    collection_names,
)

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL
    from key_value.aio.stores.mongodb.entries import Entries

__all__ = ["MongoDBStore", "MongoDBV1CollectionSanitizationStrategy"]

_logger = logging.getLogger(__name__)

_MAX_PAGE_KEYS = 10_000
_CONCURRENT_LOOKUPS = 8
_DEFAULT_URL = "mongodb://127.0.0.1:27017"
_MAX_VALUE_BYTES = 16 * 1024 * 1024


class MongoDBStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries as documents in a MongoDB database, with native expiry. Each operation and batch is one request."""

    driver_reads_query = True
    driver_reads_hosts = True
    capabilities: Capabilities = Capabilities(
        durable=True,
        native_expiry=True,
        expiry_resolution=0.001,
        max_value_bytes=_MAX_VALUE_BYTES,
        atomic_delete=True,
        conditional_writes=True,
    )

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        url: str | None = None,
        db_name: str | None = None,
        coll_name: str | None = None,  # noqa: ARG002 — accepted for compatibility
        default_collection: str | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        auto_create: bool = True,
        timeout: float | None = 5.0,
    ) -> None:
        """Create a store from a client or a URL, by default `mongodb://127.0.0.1:27017`.

        `client` is a pymongo `AsyncMongoClient`; the caller closes it, and it belongs to one event loop. `url` is
        parsed by pymongo, with its options, hosts and authentication database. Without a client, each event loop gets
        its own.

        The entries are in the database `db_name`, "kv-store-adapter" by default. Each collection is stored under its
        own name, escaped where MongoDB rejects it, or under the name that `collection_sanitization_strategy` returns.
        The first write to a collection creates it and its indexes unless `auto_create` is False; then writing to a
        missing collection raises StoreSetupError. `coll_name`, an option of earlier versions, has no effect.

        `timeout` is the time limit of a request in seconds, None for only the client's own limits; a batch gets the
        same again for each full thousand of its entries.

        Raises ValueError for a malformed URL or database name, for both client and url, for the write concern w=0, and
        for a limit that is not positive; TypeError for a client of another type.
        """
        # Deferred: importing pymongo takes half a second.
        from key_value.aio.stores.mongodb.entries import Entries
        from key_value.aio.stores.mongodb.location import check_type, check_url, open_client
        from key_value.aio.stores.mongodb.session import Session

        if client is not None and url is not None:
            message = "pass a client or a url, not both"
            raise ValueError(message)
        seconds = checked_timeout(timeout)
        database = "kv-store-adapter" if db_name is None else db_name
        check_database_name(database)
        location = _DEFAULT_URL if url is None else url
        if client is not None:
            check_type(client)
        self._where = f"{'the client' if client is not None else check_url(location)}, {database}"
        self._auto_create = auto_create
        self._naming_strategy = collection_sanitization_strategy or collection_names(database)
        self._indexing = OncePer()
        self._logged_warnings: set[str] = set()

        def open_session() -> Entries:
            opened = open_client(location, seconds) if client is None else client
            return Entries(Session(opened, database, seconds, owned=client is None))

        self._sessions = PerLoop(open_session, _close_session)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        database = url.path.removeprefix("/")
        return {"url": url.url, **({"db_name": database} if database else {})}

    def __repr__(self) -> str:
        return f"MongoDBStore({self._where})"

    def _reraise(self, error: Exception, *, otherwise: type[BaseKeyValueError] | None = None) -> NoReturn:
        from key_value.aio.stores.mongodb.errors import DRIVER_ERRORS

        reraise(error, DRIVER_ERRORS, repr(self), otherwise=otherwise)

    # Lifecycle

    async def setup_collection(self, *, collection: str) -> None:
        await super().setup_collection(collection=collection)
        await self._translated(self._ensure_indexes(collection))

    async def _probe(self) -> None:
        # Recreates indexes that another client dropped together with the collection.
        self._indexing.reset()
        await self._entries.probe(self._stored_collection_name(self.default_collection))

    async def _close(self) -> None:
        await self._sessions.close()

    @property
    def _entries(self) -> "Entries":
        return self._sessions.get()

    async def _ensure_indexes(self, collection: str) -> str:
        """Return the stored name of the collection, after creating its indexes if this is the first write."""
        name = self._stored_collection_name(collection)
        if not self._indexing.is_done(name):
            await self._indexing.run(name, partial(self._create_indexes, name))
        return name

    async def _create_indexes(self, name: str) -> None:
        session = self._entries.session
        if self._auto_create:
            with session.kept_open():
                refused = await session.create_indexes(name)
            for message in refused:
                self._warn_once(message)
        elif not await session.collection_names(name):
            message = f"{self!r}: the collection {name!r:.80} does not exist; create it, or pass auto_create=True"
            raise StoreSetupError(message)

    def _warn_once(self, message: str) -> None:
        if message not in self._logged_warnings:
            self._logged_warnings.add(message)
            _logger.warning("%r: %s", self, message)

    # Names. BaseStore gets no strategy, because each document stores the name of its collection.

    def _stored_collection_name(self, collection: str) -> str:
        self._naming_strategy.validate(collection)
        return self._naming_strategy.sanitize(collection)

    async def _original_collection(self, name: str, *, is_live: bool) -> str | None:
        """Return the collection of this stored name; None if it has no (live) entries of a store."""
        unescaped = self._naming_strategy.try_unsanitize(name)
        collection = await self._entries.collection_of(name, unescaped, is_live=is_live)
        return None if collection is None or self._stored_collection_name(collection) != name else collection

    async def _named_collections(self, *, is_live: bool) -> AsyncGenerator[tuple[str, str], None]:
        """Yield the stored name and the collection name of each collection with entries."""
        names = await self._entries.session.collection_names()
        for start in range(0, len(names), _CONCURRENT_LOOKUPS):
            batch = names[start : start + _CONCURRENT_LOOKUPS]
            found = await gather(*(self._original_collection(name, is_live=is_live) for name in batch))
            for name, collection in zip(batch, found, strict=True):
                if collection is not None:
                    yield name, collection

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        if cursor is not None and cursor.encode(errors="ignore").decode() != cursor:
            message = "the cursor does not come from a scan of this store"
            raise ValueError(message)
        size = min(limit, _MAX_PAGE_KEYS)
        return await self._entries.page(collection, self._stored_collection_name(collection), prefix, cursor, size)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: list[str] = []
        async with aclosing(self._named_collections(is_live=True)) as found:
            async for _, collection in found:
                collections.append(collection)
                if len(collections) == limit:
                    break
        return collections

    # Reading and writing

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return await self._entries.get(self._stored_collection_name(collection), key)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await self._entries.get_each(self._stored_collection_name(collection), keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        name = await self._ensure_indexes(collection)
        await self._entries.put(name, key, managed_entry)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        name = await self._ensure_indexes(collection)
        await self._entries.put_each(name, keys, managed_entries)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._entries.delete(self._stored_collection_name(collection), key)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._entries.delete_each(self._stored_collection_name(collection), keys)

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        return await self._entries.get_versioned(self._stored_collection_name(collection), key)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        name = await self._ensure_indexes(collection)
        entries = self._entries
        with entries.session.kept_open():
            if version is None:
                return await entries.put_if_absent(name, key, managed_entry)
            return await entries.put_if_version(name, key, managed_entry, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        entries = self._entries
        with entries.session.kept_open():
            return await entries.delete_if_version(self._stored_collection_name(collection), key, version)

    # Removing. The MongoDB collections and their indexes are kept, because other clients may be writing to them.

    async def _delete_store(self) -> bool:
        async with aclosing(self._named_collections(is_live=False)) as found:
            async for name, collection in found:
                await self._entries.delete_collection(name, collection)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._entries.delete_collection(self._stored_collection_name(collection), collection)

    async def _cull(self) -> None:
        async with aclosing(self._named_collections(is_live=False)) as found:
            async for name, collection in found:
                await self._entries.cull(name, collection)


async def _close_session(entries: "Entries") -> None:
    await entries.session.close()
