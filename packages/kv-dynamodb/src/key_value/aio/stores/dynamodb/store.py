"""DynamoDBStore, which stores each entry as an item: the collection is the partition key, the key the sort key."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Any

from key_value.aio.core.aws.clients import ClientFactory
from key_value.aio.core.aws.errors import answer_of
from key_value.aio.core.aws.options import check_options
from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.entry import live_entry
from key_value.aio.core.envelope import load_entry
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.marks import digest
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.urls import redacted
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
from key_value.aio.stores.dynamodb.creation import check_table_config, check_table_name, prepare
from key_value.aio.stores.dynamodb.expressions import is_absent, is_not_certainly_expired, is_unchanged
from key_value.aio.stores.dynamodb.items import (
    COLLECTION,
    KEY,
    MAX_ITEM_BYTES,
    TTL,
    VALUE,
    Item,
    entry_of,
    has_certainly_expired,
    has_expired,
    is_written_by_store,
    item_of,
    live_entry_of,
    live_name_of,
    name_of,
    needs_reading,
    primary_key,
    text_of,
)
from key_value.aio.stores.dynamodb.names import MAX_COLLECTION_BYTES, MAX_KEY_BYTES, shorten, shorten_prefix
from key_value.aio.stores.dynamodb.table import DRIVER_ERRORS, Table, condition_failure

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["DynamoDBStore"]


# One request reads at most 1 MB, which holds fewer entries than this even at their smallest.
_MAX_PAGE_ENTRIES = 10_000

_NAME_AND_TTL = (COLLECTION, KEY, TTL)
_NAMES_AND_VALUE = (COLLECTION, KEY, VALUE)


class DynamoDBStore(
    BaseScanStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseDestroyCollectionStore, BaseVersionedStore
):
    """Entries in an Amazon DynamoDB table, with native expiry in seconds, in batches of 100 reads or 25 writes.

    Reads are strongly consistent by default. The table is created at the first use.
    """

    driver_errors = DRIVER_ERRORS
    capabilities: Capabilities = Capabilities(
        durable=True,
        native_expiry=True,
        expiry_resolution=1.0,
        max_value_bytes=MAX_ITEM_BYTES,
        atomic_delete=True,
        conditional_writes=True,
    )

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        table_name: str,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        default_collection: str | None = None,
        table_config: Mapping[str, Any] | None = None,
        auto_create: bool = True,
        consistent_read: bool = True,
        timeout: float | None = 30.0,
        max_connections: int = 50,
    ) -> None:
        """Create a store from the name of a table, and a client or connection options.

        `client` is an aiobotocore or aioboto3 client for the service "dynamodb"; the caller closes it, and it belongs
        to one event loop. Without a client, each event loop gets its own; a missing region or missing credentials are
        looked up the way the AWS tools do.

        With `auto_create`, a missing table is created with DynamoDB's TTL enabled, which removes expired items.
        `table_config` holds further parameters of CreateTable, such as BillingMode or Tags. `consistent_read=False`
        halves the price of reads, which may then miss a recent write; versions are always read consistently.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` requests are in flight at once; others wait.

        Raises ValueError for an invalid name, region, endpoint or configuration, for incomplete credentials, for a
        client together with connection options, and for a limit that is not positive.
        """
        connection_options = {
            "region_name": region_name,
            "endpoint_url": endpoint_url,
            "aws_access_key_id": aws_access_key_id,
            "aws_secret_access_key": aws_secret_access_key,
            "aws_session_token": aws_session_token,
        }
        check_table_name(table_name)
        check_options(client, "dynamodb", connection_options)
        seconds = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        self._table_config = dict(table_config or {})
        check_table_config(self._table_config)
        self._table_name = table_name
        self._region_or_endpoint = region_name if endpoint_url is None else redacted(endpoint_url)
        self._auto_create = auto_create
        factory = ClientFactory(
            "dynamodb",
            **connection_options,
            max_pool_connections=max_connections,
            connect_timeout=seconds,
            read_timeout=seconds,
            # Every request is built here, from checked values.
            parameter_validation=False,
        )

        def open_table() -> tuple[Table, LoopClient | GivenClient]:
            opened = LoopClient(factory.make) if client is None else GivenClient(client)
            table = Table(table_name, opened.get, consistent=consistent_read, requests=max_connections, seconds=seconds)
            return table, opened

        self._tables = PerLoop(open_table, _close)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"table_name": url.name_of("table", "region_name=eu-central-1")}

    def __repr__(self) -> str:
        return (
            f"DynamoDBStore({self._table_name}{f' at {self._region_or_endpoint}' if self._region_or_endpoint else ''})"
        )

    @property
    def _table(self) -> Table:
        return self._tables.get()[0]

    async def _setup(self) -> None:
        await prepare(self._table, self._table_config, auto_create=self._auto_create)

    async def _probe(self) -> None:
        await self._table.get(primary_key(self.default_collection, "probe"))

    async def _close(self) -> None:
        await self._tables.close()

    # Single entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        item = await self._table.get(primary_key(collection, key))
        return None if item is None else entry_of(item)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._table.put(item_of(collection, key, managed_entry))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        item = await self._table.delete(primary_key(collection, key))
        return item is not None and not has_expired(item)

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        primary_keys = [primary_key(collection, key) for key in keys]
        # botocore decodes each attribute in Python: leaving out the collection saves a tenth of the time.
        items = {item[KEY]["S"]: item for item in await self._table.get_each(primary_keys, (KEY, VALUE))}
        found = [items.get(each[KEY]["S"]) for each in primary_keys]
        return [None if item is None else entry_of(item) for item in found]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        entries = zip(keys, managed_entries, strict=True)
        await self._table.put_each([item_of(collection, key, entry) for key, entry in entries])

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        # BatchWriteItem does not report which items existed.
        table = self._table
        items = await table.get_each([primary_key(collection, key) for key in keys], _NAME_AND_TTL)
        live = await self._live_names(items)
        await table.delete_each([_primary_key_of(item) for item in items])
        return len(live)

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        item = await self._table.get(primary_key(collection, key), consistent=True)
        return None if item is None else VersionedEntry(entry_of(item), digest(text_of(item)))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        item = item_of(collection, key, managed_entry)
        if version is None:
            return await self._put_if_absent(item, collection, key)
        text = await self._text_of_version(collection, key, version)
        return text is not None and await self._put_if(item, text)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        text = await self._text_of_version(collection, key, version)
        if text is None:
            return False
        return await condition_failure(self._table.delete(primary_key(collection, key), is_unchanged(text))) is None

    async def _put_if_absent(self, item: dict[str, dict[str, str]], collection: str, key: str) -> bool:
        error = await condition_failure(self._table.put(item, is_absent()))
        if error is None:
            return True
        stored: Item | None = answer_of(error).get("Item")
        if stored is None:
            # The server does not return the item that failed the condition, or the item has been removed since.
            stored = await self._table.get(primary_key(collection, key), consistent=True)
        if stored is None or live_entry_of(stored, collection, key) is not None:
            return False
        # It has expired within the last second.
        return await self._put_if(item, text_of(stored))

    async def _put_if(self, item: dict[str, dict[str, str]], text: str) -> bool:
        return await condition_failure(self._table.put(item, is_unchanged(text))) is None

    async def _text_of_version(self, collection: str, key: str, version: str) -> str | None:
        """Return the stored text if it has this version and has not expired: DynamoDB cannot compare digests."""
        item = await self._table.get(primary_key(collection, key), consistent=True)
        if item is None or digest(text := text_of(item)) != version:
            return None
        return None if live_entry(load_entry(text), collection, key) is None else text

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        stored = shorten(collection, MAX_COLLECTION_BYTES)
        pushed = shorten_prefix(prefix, MAX_KEY_BYTES)
        if cursor is not None and not (cursor.startswith(pushed) and 0 < len(cursor.encode()) <= MAX_KEY_BYTES):
            message = "the cursor was not returned by a scan of this store"
            raise ValueError(message)
        page = await self._table.query(
            stored,
            _NAME_AND_TTL,
            prefix=pushed,
            after=cursor,
            where=is_not_certainly_expired(),
            limit=min(limit, _MAX_PAGE_ENTRIES),
        )
        names = await self._live_names(page.items)
        keys = [key for owner, key in names if owner == collection and key.startswith(prefix)]
        return KeyPage(keys, None if page.last is None else page.last[KEY]["S"])

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        async with aclosing(self._table.scan_all(_NAME_AND_TTL, is_not_certainly_expired())) as pages:
            async for items in pages:
                collections.update((collection, None) for collection, _ in await self._live_names(items))
                if limit is not None and len(collections) >= limit:
                    break
        return list(islice(collections, limit))

    async def _live_names(self, items: Sequence[Item]) -> list[tuple[str, str]]:
        """Return the collection and key of each item that has not expired; `items` have only names and `ttl`."""
        undecided = [_primary_key_of(item) for item in items if needs_reading(item)]
        read = {name_of(item): item for item in await self._table.get_each(undecided)} if undecided else {}
        names = (
            live_name_of(item, read.get(name_of(item))) if needs_reading(item) else name_of(item)
            for item in items
            if not has_certainly_expired(item)
        )
        return [name for name in names if name is not None]

    # Destroying

    async def _delete_store(self) -> bool:
        await self._delete_own_items(self._table.scan_all(_NAMES_AND_VALUE, consistent=True))
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        stored = shorten(collection, MAX_COLLECTION_BYTES)
        return await self._delete_own_items(self._table.query_all(stored, _NAMES_AND_VALUE, consistent=True))

    async def _delete_own_items(self, found: AsyncGenerator[list[Item], None]) -> bool:
        """Remove the items that stores have written, no foreign ones. Return whether there were any."""
        deleted = False
        async with aclosing(found) as pages:
            async for items in pages:
                written = [_primary_key_of(item) for item in items if is_written_by_store(item)]
                if written:
                    await self._table.delete_each(written)
                    deleted = True
        return deleted


def _primary_key_of(item: Item) -> Item:
    return {COLLECTION: item[COLLECTION], KEY: item[KEY]}


async def _close(opened: tuple[Table, LoopClient | GivenClient]) -> None:
    await opened[1].close()
