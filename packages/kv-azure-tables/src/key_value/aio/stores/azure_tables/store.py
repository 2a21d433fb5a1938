"""AzureTablesStore: one entity per entry, with the collection as partition key and the key as row key."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from key_value.aio.core.batches import in_batches
from key_value.aio.core.clients import GivenClient, LoopClient, check_client
from key_value.aio.core.entry import live_entry
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import StoreConnectionError
from key_value.aio.stores.azure_tables.clients import make_client
from key_value.aio.stores.azure_tables.entities import (
    MAX_ENTRY_BYTES,
    NAMES,
    Entity,
    Naming,
    contains_entry,
    entity_of,
    entry_of,
    has_expired,
    is_past,
    stored_names,
)
from key_value.aio.stores.azure_tables.errors import DRIVER_ERRORS
from key_value.aio.stores.azure_tables.names import stored_name
from key_value.aio.stores.azure_tables.options import checked_endpoint, checked_table_name
from key_value.aio.stores.azure_tables.queries import condition_for, cursor_of, live_names, position_of
from key_value.aio.stores.azure_tables.table import Requests, Table, etag_of
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

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["AzureTablesStore"]

_MAX_ATTEMPTS = 100
_BATCH_ENTITIES = 100
_PAGE_ENTITIES = 1000


class AzureTablesStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in an Azure Table Storage table, one partition per collection, in batches of 100 writes."""

    driver_errors = DRIVER_ERRORS
    capabilities: Capabilities = Capabilities(
        durable=True, max_value_bytes=MAX_ENTRY_BYTES, atomic_delete=True, conditional_writes=True
    )

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        connection_string: str | None = None,
        account_name: str | None = None,
        credential: Any = None,
        endpoint: str | None = None,
        table_name: str | None = None,
        default_collection: str | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        auto_create: bool = True,
        timeout: float | None = 30.0,
        max_connections: int = 50,
    ) -> None:
        """Create a store from the name of a table and connection options, or from a client.

        The connection options are a `connection_string` with a key or a shared access signature, or a `credential` with
        an `endpoint` or the `account_name` of an account on Azure. The credential is `"name:key"`, a shared access
        signature, or an object of azure-core or azure-identity. `client` is an `azure.data.tables.aio.TableClient`; the
        caller closes it, and it belongs to one event loop. Without a client, each event loop gets its own.

        A missing table is created unless `auto_create` is False. Strategies convert names before they are stored.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` requests are in flight at once; others wait.

        Raises ValueError for an invalid connection string, endpoint, account name, credential or table name, for a
        client together with connection options, and for a limit that is not positive; TypeError for a client or
        credential of another type, such as a blocking client.
        """
        connection_options = (connection_string, account_name, credential, endpoint, table_name)
        if client is not None and any(option is not None for option in connection_options):
            message = "pass a client or connection options, not both"
            raise ValueError(message)
        if client is None:
            place = checked_endpoint(connection_string, account_name, endpoint, credential)
        else:
            place = ""
            # Deferred: the import takes 0.3 s.
            from azure.data.tables.aio import TableClient

            check_client(client, TableClient)
        self._table_name: str = checked_table_name(table_name if client is None else client.table_name)
        self._place = place
        self._auto_create = auto_create
        seconds = checked_timeout(timeout)
        connections = checked_count(max_connections, "max_connections", least=1)
        make = make_client(self._table_name, connection_string, place, credential, connections)

        def open_table() -> Table:
            opened = LoopClient(make) if client is None else GivenClient(client)
            return Table(opened, requests=connections, seconds=seconds)

        self._tables = PerLoop(open_table, Table.close)
        super().__init__(
            default_collection=default_collection,
            collection_sanitization_strategy=collection_sanitization_strategy,
            key_sanitization_strategy=key_sanitization_strategy,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"table_name": url.name_of("table", "connection_string=…")}

    def __repr__(self) -> str:
        return f"AzureTablesStore({self._table_name}{f' at {self._place}' if self._place else ''})"

    @property
    def _table(self) -> Table:
        return self._tables.get()

    async def _setup(self) -> None:
        if self._auto_create:
            async with self._table.limit() as requests:
                await requests.create_table()

    async def _probe(self) -> None:
        async with self._table.limit() as requests:
            # A query, because getting a missing entity is answered like getting one from a missing account.
            await requests.query(condition_for(self.default_collection, "probe"), NAMES, limit=1)

    async def _close(self) -> None:
        await self._tables.close()

    # Single entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        async with self._table.limit() as requests:
            entity = await requests.get(_stored_names_of(collection, key))
        return None if entity is None else entry_of(entity)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        entity = entity_of(collection, key, managed_entry)
        async with self._table.limit() as requests:
            await requests.put(entity)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        async with self._table.limit() as requests:
            return await _delete(requests, _stored_names_of(collection, key))

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        async with self._table.limit(len(keys)) as requests:
            found = await requests.each(lambda key: requests.get(_stored_names_of(collection, key)), keys)
        return [None if entity is None else entry_of(entity) for entity in found]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        entities = [entity_of(collection, key, entry) for key, entry in zip(keys, managed_entries, strict=True)]
        async with self._table.limit(len(keys)) as requests:
            await requests.put_each(entities)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        async with self._table.limit(len(keys)) as requests:
            found = await requests.each(lambda key: requests.get(_stored_names_of(collection, key)), keys)
            return await _delete_found(requests, [entity for entity in found if entity is not None])

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        async with self._table.limit() as requests:
            entity = await requests.get(_stored_names_of(collection, key))
        return None if entity is None else VersionedEntry(entry_of(entity), etag_of(entity))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        entity = entity_of(collection, key, managed_entry)
        async with self._table.limit() as requests:
            if version is None:
                return await _put_if_absent(requests, entity, collection, key)
            found = await _has_live_version(requests, collection, key, version)
            return found and await requests.replace(entity, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        async with self._table.limit() as requests:
            found = await _has_live_version(requests, collection, key, version)
            return found and await requests.delete(_stored_names_of(collection, key), version)

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        start = None if cursor is None else position_of(cursor)
        async with self._table.limit() as requests:
            page = await requests.query(condition_for(collection, prefix), NAMES, limit=limit, start=start)
            names = await live_names(requests, page.entities, self._stored_names)
        keys = [key for owner, key in names if owner == collection and key.startswith(prefix)]
        return KeyPage(keys, cursor_of(page.continuation))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        async with aclosing(self._entity_pages("", NAMES)) as pages:
            async for entities in pages:
                async with self._table.limit(len(entities)) as requests:
                    names = await live_names(requests, entities, self._stored_names)
                collections.update((collection, None) for collection, _ in names)
                if limit is not None and len(collections) >= limit:
                    break
        return list(islice(collections, limit))

    def _stored_names(self, collection: str, key: str) -> tuple[str, str]:
        return self._stored_collection(collection), self._stored_key(key)

    # Removing

    async def _delete_store(self) -> bool:
        await self._remove("")
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._remove(condition_for(collection, ""))

    async def _cull(self) -> None:
        async with aclosing(self._entity_pages("", NAMES)) as pages:
            async for entities in pages:
                past = [stored_names(entity) for entity in entities if is_past(entity)]
                async with self._table.limit(len(past)) as requests:
                    await in_batches(past, _BATCH_ENTITIES, partial(_remove_expired, requests, self._stored_names))

    async def _remove(self, condition: str) -> bool:
        removed = False
        async with aclosing(self._entity_pages(condition, None)) as pages:
            async for entities in pages:
                found = [entity for entity in entities if contains_entry(entity, self._stored_names)]
                async with self._table.limit(len(found)) as requests:
                    removed = bool(await _delete_found(requests, found)) or removed
        return removed

    async def _entity_pages(self, condition: str, select: Sequence[str] | None) -> AsyncGenerator[list[Entity], None]:
        continuation: Any = None
        while True:
            async with self._table.limit() as requests:
                page = await requests.query(condition, select, limit=_PAGE_ENTITIES, start=continuation)
            yield page.entities
            continuation = page.continuation
            if continuation is None:
                return


def _stored_names_of(collection: str, key: str) -> tuple[str, str]:
    return stored_name(collection), stored_name(key)


async def _delete(requests: Requests, names: tuple[str, str]) -> bool:
    """Remove the entry; return whether this call removed a live one."""
    for _ in range(_MAX_ATTEMPTS):
        entity = await requests.get(names)
        if entity is None:
            return False
        if await requests.delete(names, etag_of(entity)):
            return not has_expired(entity)
    raise _contention_error()


async def _delete_found(requests: Requests, found: Sequence[Entity]) -> int:
    """Remove the entities, and any that replaced them since they were read; return how many were live."""
    deleted = await requests.delete_each(found)
    left = {*map(stored_names, found)} - {*map(stored_names, deleted)}
    again = await requests.each(lambda names: _delete(requests, names), left)
    return sum(again) + sum(not has_expired(entity) for entity in deleted)


async def _remove_expired(requests: Requests, naming: Naming, names: Sequence[tuple[str, str]]) -> None:
    """Remove the expired entries among the entities of these names. Those replaced meanwhile are kept."""
    found = [entity for entity in await requests.each(requests.get, names) if entity is not None]
    await requests.delete_each([entity for entity in found if contains_entry(entity, naming) and has_expired(entity)])


async def _put_if_absent(requests: Requests, entity: Entity, collection: str, key: str) -> bool:
    for _ in range(_MAX_ATTEMPTS):
        if await requests.create(entity):
            return True
        found = await requests.get(_stored_names_of(collection, key))
        if found is None:
            continue
        if not has_expired(found):
            return False
        if await requests.replace(entity, etag_of(found)):
            return True
    raise _contention_error()


async def _has_live_version(requests: Requests, collection: str, key: str, version: str) -> bool:
    found = await requests.get(_stored_names_of(collection, key))
    if found is None or etag_of(found) != version:
        return False
    return live_entry(entry_of(found), collection, key) is not None


def _contention_error() -> StoreConnectionError:
    message = f"other clients changed the entry during each of {_MAX_ATTEMPTS} attempts"
    return StoreConnectionError(message)
