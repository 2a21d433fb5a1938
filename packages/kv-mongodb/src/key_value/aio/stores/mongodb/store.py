"""MongoDBStore: an entry is a document, in the collection of MongoDB that has the name of its own."""

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

_LARGEST_PAGE = 10_000
_ASKED_AT_ONCE = 8
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
    """Entries as documents in a database of MongoDB, with native expiry; one request for each operation and batch."""

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
        coll_name: str | None = None,  # noqa: ARG002 — see below
        default_collection: str | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        auto_create: bool = True,
        timeout: float | None = 5.0,
    ) -> None:
        """Take a client or a URL; without either, the server is `mongodb://127.0.0.1:27017`.

        `client` is an AsyncMongoClient of pymongo; it stays the caller's to close, and belongs to one event loop.
        `url` goes to pymongo's own parser, with its options, hosts and database for authentication. Without a client,
        each event loop gets one of its own.

        The entries are in the database `db_name`, "kv-store-adapter" by default. A collection is there under its own
        name, or where MongoDB does not take that, an escaped one; `collection_sanitization_strategy` names them
        otherwise. With `auto_create` a collection and its indexes are created by the first write; without it, writing
        to one that is not there raises StoreSetupError. `coll_name`, from earlier versions, has no effect.

        `timeout` is the time in seconds that a request may take, None for no limit but those of the client; a batch
        has as much again for each full thousand of its entries.

        Raises ValueError for a URL or database name that cannot be, for both client and url, for the write concern
        w=0, and for a limit that is not above zero; TypeError for another kind of client.
        """
        # Which takes half a second to import.
        from key_value.aio.stores.mongodb.entries import Entries
        from key_value.aio.stores.mongodb.location import check_kind, check_url, open_client
        from key_value.aio.stores.mongodb.session import Session

        if client is not None and url is not None:
            message = "pass a client or a url, not both"
            raise ValueError(message)
        seconds = checked_timeout(timeout)
        database = "kv-store-adapter" if db_name is None else db_name
        check_database_name(database)
        location = _DEFAULT_URL if url is None else url
        if client is not None:
            check_kind(client)
        self._where = f"{'the client' if client is not None else check_url(location)}, {database}"
        self._auto_create = auto_create
        self._naming = collection_sanitization_strategy or collection_names(database)
        self._indexing = OncePer()
        self._told: set[str] = set()

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
        await self._translated(self._indexed(collection))

    async def _probe(self) -> None:
        # An index that others have dropped with its collection is made again.
        self._indexing.reset()
        await self._entries.probe(self._stored(self.default_collection))

    async def _close(self) -> None:
        await self._sessions.close()

    @property
    def _entries(self) -> "Entries":
        return self._sessions.get()

    async def _indexed(self, collection: str) -> str:
        """The stored name of the collection, whose indexes the first write makes."""
        name = self._stored(collection)
        if not self._indexing.is_done(name):
            await self._indexing.run(name, partial(self._create_indexes, name))
        return name

    async def _create_indexes(self, name: str) -> None:
        session = self._entries.session
        if self._auto_create:
            with session.held():
                refused = await session.create_indexes(name)
            for message in refused:
                self._tell(message)
        elif not await session.collection_names(name):
            message = f"{self!r}: the collection {name!r:.80} does not exist; create it, or pass auto_create=True"
            raise StoreSetupError(message)

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            _logger.warning("%r: %s", self, message)

    # Names: BaseStore knows of no strategy, because it is the documents that tell their collections.

    def _stored(self, collection: str) -> str:
        self._naming.validate(collection)
        return self._naming.sanitize(collection)

    async def _collection_behind(self, name: str, *, is_live: bool) -> str | None:
        """The collection of this stored name, if there is an entry, or a live one; None for what is none of ours."""
        collection = await self._entries.collection_of(name, self._naming.try_unsanitize(name), is_live=is_live)
        return None if collection is None or self._stored(collection) != name else collection

    async def _named_collections(self, *, is_live: bool) -> AsyncGenerator[tuple[str, str], None]:
        """The stored name and the collection of each that there is."""
        names = await self._entries.session.collection_names()
        for start in range(0, len(names), _ASKED_AT_ONCE):
            asked = names[start : start + _ASKED_AT_ONCE]
            found = await gather(*(self._collection_behind(name, is_live=is_live) for name in asked))
            for name, collection in zip(asked, found, strict=True):
                if collection is not None:
                    yield name, collection

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        if cursor is not None and cursor.encode(errors="ignore").decode() != cursor:
            message = "the cursor is none of a scan of this store"
            raise ValueError(message)
        size = min(limit, _LARGEST_PAGE)
        return await self._entries.page(collection, self._stored(collection), prefix, cursor, size)

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
        return await self._entries.get(self._stored(collection), key)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await self._entries.get_each(self._stored(collection), keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        name = await self._indexed(collection)
        await self._entries.put(name, key, managed_entry)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        name = await self._indexed(collection)
        await self._entries.put_each(name, keys, managed_entries)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._entries.delete(self._stored(collection), key)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._entries.delete_each(self._stored(collection), keys)

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        return await self._entries.get_versioned(self._stored(collection), key)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        name = await self._indexed(collection)
        entries = self._entries
        with entries.session.held():
            if version is None:
                return await entries.put_if_absent(name, key, managed_entry)
            return await entries.put_if_version(name, key, managed_entry, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        entries = self._entries
        with entries.session.held():
            return await entries.delete_if_version(self._stored(collection), key, version)

    # Removing. The collections of MongoDB stay, with their indexes, for those who write to them meanwhile.

    async def _delete_store(self) -> bool:
        async with aclosing(self._named_collections(is_live=False)) as found:
            async for name, collection in found:
                await self._entries.delete_collection(name, collection)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._entries.delete_collection(self._stored(collection), collection)

    async def _cull(self) -> None:
        async with aclosing(self._named_collections(is_live=False)) as found:
            async for name, collection in found:
                await self._entries.cull(name, collection)


async def _close_session(entries: "Entries") -> None:
    await entries.session.close()
