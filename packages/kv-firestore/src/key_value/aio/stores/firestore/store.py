"""FirestoreStore: one document per entry, one Firestore collection per collection."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

from key_value.aio.core import clock
from key_value.aio.core.batches import in_batches
from key_value.aio.core.clients import LoopClient, check_client
from key_value.aio.core.driver_errors import DriverErrors, LazyDriverErrors
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_timeout
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
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
from key_value.aio.stores.firestore.access import (
    Access,
    GivenClient,
    check_access,
    database_in_url,
    emulator_host_of,
    import_driver,
)
from key_value.aio.stores.firestore.documents import (
    IDENTIFYING_FIELDS,
    MAX_DOCUMENT_BYTES,
    Condition,
    Found,
    Path,
    Write,
    checked_fields,
    parse_version,
)
from key_value.aio.stores.firestore.names import (
    PROBE,
    FirestoreV1CollectionSanitizationStrategy,
    FirestoreV1KeySanitizationStrategy,
    Names,
    is_id,
)
from key_value.aio.stores.firestore.queries import ExpiredQuery, IdQuery

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL
    from key_value.aio.stores.firestore.database import FirestoreDatabase

__all__ = ["FirestoreStore"]

# Each document of a page takes 50 µs of CPU time.
_MAX_PAGE_DOCUMENTS = 5000
# These are read with their values, of up to a megabyte each.
_REMOVAL_PAGE_DOCUMENTS = 100
# Documents read at a time to find a live entry in a collection.
_LIVENESS_PAGE_DOCUMENTS = 10


class FirestoreStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a Google Firestore database in native mode, one document each, in batches of 500.

    Reads are strongly consistent. With a TTL policy on the field `ttl`, Firestore removes expired entries.
    """

    keys_page_size: ClassVar[int] = _MAX_PAGE_DOCUMENTS
    driver_errors: ClassVar[DriverErrors] = LazyDriverErrors("key_value.aio.stores.firestore.errors")
    capabilities: Capabilities = Capabilities(
        durable=True, max_value_bytes=MAX_DOCUMENT_BYTES, atomic_delete=True, conditional_writes=True
    )

    @warn_types
    def __init__(
        self,
        client: Any = None,
        *,
        credentials: Any = None,
        project: str | None = None,
        database: str | None = None,
        default_collection: str | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        emulator_host: str | None = None,
        timeout: float | None = 30.0,
    ) -> None:
        """Create a store from a client or connection options.

        The first FirestoreStore imports the driver, which takes a second.

        `client` is a google-cloud-firestore `AsyncClient`; the caller closes it, and it belongs to one event loop.
        Without a client, each event loop gets its own; a missing project or missing credentials are looked up the way
        Google's client does. `database` is "(default)" by default.

        `emulator_host` is the `host:port` of an emulator, which needs no credentials; by default, the current value of
        FIRESTORE_EMULATOR_HOST.

        `timeout` is the time limit of a request in seconds, including retries, None for no limit; a batch gets
        `timeout` once more for each full thousand of its entries.

        Raises ValueError for an invalid project, database or host, for a client together with connection options, and
        for a limit that is not positive; TypeError for a client of another type.
        """
        given = Access(project, database, credentials, emulator_host, checked_timeout(timeout))
        check_access(client, given)
        import_driver()
        if client is not None:
            from google.cloud.firestore import AsyncClient

            check_client(client, AsyncClient)
        access = given._replace(emulator_host=emulator_host_of(emulator_host))
        self._place = access.place if client is None else "a client's database"
        self._ids = Names(
            escapes_collections=not isinstance(
                collection_sanitization_strategy, FirestoreV1CollectionSanitizationStrategy
            ),
            escapes_keys=not isinstance(key_sanitization_strategy, FirestoreV1KeySanitizationStrategy),
        )

        def open_client() -> LoopClient | GivenClient:
            return LoopClient(access.make) if client is None else GivenClient(client, access.timeout)

        self._clients = PerLoop(open_client, _close)
        super().__init__(
            default_collection=default_collection,
            key_sanitization_strategy=key_sanitization_strategy,
            collection_sanitization_strategy=collection_sanitization_strategy,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return database_in_url(url)

    def __repr__(self) -> str:
        return f"FirestoreStore({self._place})"

    # Lifecycle

    async def _database(self) -> "FirestoreDatabase":
        return await self._clients.get().get()

    async def _setup(self) -> None:
        await self._database()

    async def _probe(self) -> None:
        database = await self._database()
        path = Path(self._ids.collection(self._stored_collection(self.default_collection)), PROBE)
        await database.get(path, IDENTIFYING_FIELDS)
        # Proves that the credentials allow writing, without changing anything.
        await database.write_if(Write(path, condition=False))

    async def _close(self) -> None:
        await self._clients.close()

    # Single entries

    def _path(self, collection: str, key: str) -> Path:
        return Path(self._ids.collection(collection), self._ids.key(key))

    def _write(self, path: Path, entry: ManagedEntry, condition: Condition = None) -> Write:
        fields = checked_fields(
            path,
            entry,
            id_names_collection=self._ids.original_collection(path.collection) == entry.collection,
            id_names_key=self._ids.original_key(path.key) == entry.key,
        )
        return Write(path, fields, condition)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        found = await (await self._database()).get(self._path(collection, key))
        return None if found is None else found.entry

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        write = self._write(self._path(collection, key), managed_entry)
        await (await self._database()).write_each([write])

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        path = self._path(collection, key)
        database = await self._database()
        # A deletion does not report whether a document existed.
        while (found := await database.get(path, IDENTIFYING_FIELDS)) is not None:
            if await database.write_if(Write(path, condition=found.updated_at)):
                return not found.has_expired
        return False

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        paths = [self._path(collection, key) for key in keys]
        found = await (await self._database()).get_each(paths)
        return [found[path].entry if path in found else None for path in paths]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        entries = zip(keys, managed_entries, strict=True)
        writes = [self._write(self._path(collection, key), entry) for key, entry in entries]
        await (await self._database()).write_each(writes)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        database = await self._database()
        paths = [self._path(collection, key) for key in keys]
        live = 0
        while found := await database.get_each(paths, IDENTIFYING_FIELDS):
            deleted = await database.delete_each(list(found.values()))
            live += sum(not each.has_expired for each in deleted)
            # Retry the documents that another writer changed in between.
            paths = list(found.keys() - {each.path for each in deleted})
            if not paths:
                break
        return live

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        found = await (await self._database()).get(self._path(collection, key))
        return None if found is None else VersionedEntry(found.entry, found.version)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        path = self._path(collection, key)
        if version is None:
            return await self._put_if_absent(path, managed_entry)
        updated_at, is_live = parse_version(version)
        write = self._write(path, managed_entry, updated_at)
        return is_live and await (await self._database()).write_if(write)

    async def _put_if_absent(self, path: Path, entry: ManagedEntry) -> bool:
        database = await self._database()
        if await database.write_if(self._write(path, entry, condition=False)):
            return True
        found = await database.get(path, IDENTIFYING_FIELDS)
        if found is None or not found.has_expired:
            return False
        return await database.write_if(self._write(path, entry, found.updated_at))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        updated_at, is_live = parse_version(version)
        write = Write(self._path(collection, key), condition=updated_at)
        return is_live and await (await self._database()).write_if(write)

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        if cursor is not None and not is_id(cursor):
            message = "the cursor does not come from a scan of this database"
            raise ValueError(message)
        size = min(limit, _MAX_PAGE_DOCUMENTS)
        query = IdQuery(self._ids.collection(collection), size, self._ids.key_prefix(prefix), cursor)
        page = await (await self._database()).query(query)
        names = [self._ids.original_key(each.path.key) or each.key for each in page if _is_live(each)]
        keys = [name for name in names if name is not None and name.startswith(prefix)]
        return KeyPage(keys, page[-1].path.key if len(page) == size else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        database = await self._database()
        ids = await database.collection_ids()
        collections: dict[str, None] = {}
        step = max(_LIVENESS_PAGE_DOCUMENTS, len(ids) if limit is None else limit)
        for start in range(0, len(ids), step):

            async def look_up(some: Sequence[str]) -> str | None:
                return await self._collection_of(database, some[0])

            found = await in_batches(ids[start : start + step], 1, look_up)
            collections.update((name, None) for name in found if name is not None)
            if limit is not None and len(collections) >= limit:
                break
        return list(islice(collections, limit))

    async def _collection_of(self, database: "FirestoreDatabase", collection_id: str) -> str | None:
        """Return the collection of the id if it has a live entry."""
        async with aclosing(_pages(database, IdQuery(collection_id, _LIVENESS_PAGE_DOCUMENTS))) as pages:
            async for page in pages:
                for each in filter(_is_live, page):
                    return self._ids.original_collection(collection_id) or each.collection
        return None

    # Removing

    async def _delete_store(self) -> bool:
        database = await self._database()
        for collection_id in await database.collection_ids():
            await _delete_entries(database, collection_id)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await _delete_entries(await self._database(), self._ids.collection(collection))

    async def _cull(self) -> None:
        database = await self._database()
        moment = clock.now().isoformat()
        for collection_id in await database.collection_ids():
            query: ExpiredQuery | None = ExpiredQuery(collection_id, _REMOVAL_PAGE_DOCUMENTS, moment)
            while query is not None:
                page = await database.query(query)
                # Documents replaced since they were read are kept.
                await database.delete_each([each for each in page if each.is_entry and each.has_expired])
                query = query.next_page(page)


async def _pages(database: "FirestoreDatabase", query: IdQuery) -> AsyncGenerator[list[Found], None]:
    next_query: IdQuery | None = query
    while next_query is not None:
        page = await database.query(next_query)
        yield page
        next_query = next_query.next_page(page)


async def _delete_entries(database: "FirestoreDatabase", collection_id: str) -> bool:
    """Remove only the documents that stores have written to the collection; return whether any was live."""
    had_live = False
    query = IdQuery(collection_id, _REMOVAL_PAGE_DOCUMENTS, with_values=True)
    async with aclosing(_pages(database, query)) as pages:
        async for page in pages:
            entries = [each for each in page if each.is_entry]
            if entries:
                await database.write_each([Write(each.path) for each in entries])
            had_live = had_live or any(map(_is_live, entries))
    return had_live


async def _close(client: LoopClient | GivenClient) -> None:
    await client.close()


def _is_live(found: Found) -> bool:
    return found.looks_like_entry and not found.has_expired
