"""Base of the stores on Elasticsearch and OpenSearch: a collection is an index, an entry is a document."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.entry import ManagedEntry, live_entry
from key_value.aio.core.lifecycle import OncePer, PerLoop
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.sanitization import PassthroughStrategy, SanitizationStrategy
from key_value.aio.core.search.documents import (
    MAX_DOCUMENT_BYTES,
    METADATA_FIELDS,
    FlattenedField,
    document_of,
    entries_of,
    entry_metadata,
    entry_of,
)
from key_value.aio.core.search.driver import ClientOptions, Refusal, SearchDriver
from key_value.aio.core.search.errors import raise_refused
from key_value.aio.core.search.indices import Action, FoundDocument, Refresh, SearchIndices
from key_value.aio.core.search.names import (
    checked_index_prefix,
    document_id,
    document_ids,
    field_name,
    field_prefix,
    index_name,
    is_field,
    is_shortened_field,
)
from key_value.aio.core.search.options import check_connection_options, check_refresh, connection_options
from key_value.aio.core.search.queries import expired, key_range
from key_value.aio.core.search.session import ClientMaker, SearchSession
from key_value.aio.core.search.versions import sequence_number_of, version_of
from key_value.aio.core.secret_text import Text, plain
from key_value.aio.core.urls import redacted
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base.cull import BaseCullStore
from key_value.aio.stores.base.destroy_collection import BaseDestroyCollectionStore
from key_value.aio.stores.base.enumerate_collections import BaseEnumerateCollectionsStore
from key_value.aio.stores.base.scan import BaseScanStore
from key_value.aio.stores.base.versioned import BaseVersionedStore, VersionedEntry

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["BaseSearchStore"]

# The default of index.max_result_window.
_MAX_PAGE_HITS = 10_000

_STATUS_CONFLICT, _STATUS_NOT_FOUND = 409, 404


class BaseSearchStore(
    BaseScanStore, BaseEnumerateCollectionsStore, BaseDestroyCollectionStore, BaseCullStore, BaseVersionedStore
):
    """All hooks of a store; a subclass provides the driver and the field type that the server offers for values.

    Reads and writes use document ids and take effect immediately. Listing uses a search, which finds only entries
    written before the last refresh of the index.
    """

    capabilities: Capabilities = Capabilities(
        durable=True, max_value_bytes=MAX_DOCUMENT_BYTES, atomic_delete=True, conditional_writes=True
    )
    field: ClassVar[FlattenedField]
    client_option: ClassVar[str]
    """The name of the constructor option that takes a client."""

    def __init__(
        self,
        *,
        client: Any,
        url: str | None,
        api_key: Text | None,
        index_prefix: str,
        default_collection: str | None,
        key_sanitization_strategy: SanitizationStrategy | None,
        collection_sanitization_strategy: SanitizationStrategy | None,
        auto_create: bool,
        refresh: Refresh,
        timeout: float | None,
        max_connections: int,
    ) -> None:
        check_connection_options(self.client_option, client, self._load_driver, url, api_key)
        check_refresh(refresh)
        seconds = checked_timeout(timeout)
        connections = checked_count(max_connections, "max_connections", least=1)
        self._prefix = checked_index_prefix(index_prefix)
        self._redacted_url = None if url is None else redacted(url)
        # BaseStore does not apply the strategies: a document holds the original names, so any strategy allows listing.
        self._id_strategy = key_sanitization_strategy
        self._index_strategy = collection_sanitization_strategy
        self._prepared = OncePer()
        maker = ClientMaker(self._load_driver, ClientOptions(url or "", plain(api_key), connections))

        def open_session() -> SearchIndices:
            opened = LoopClient(maker.make) if client is None else GivenClient(client)
            session = SearchSession(self._load_driver, opened, seconds)
            return SearchIndices(session, self.field, refresh, auto_create=auto_create)

        self._opened = PerLoop(open_session, lambda indices: indices.session.close())
        super().__init__(default_collection=default_collection)

    @classmethod
    @abstractmethod
    def _load_driver(cls) -> SearchDriver:
        """Import and return the driver. Called often; the first call runs in a thread."""

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return connection_options(url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix}{f' at {self._redacted_url}' if self._redacted_url else ''})"

    async def setup_collection(self, *, collection: str) -> None:
        await super().setup_collection(collection=collection)
        await self._translated(self._prepare_index(self._index(collection)))

    async def _probe(self) -> None:
        index, id_ = self._index(self.default_collection), f"probe {uuid4().hex}"
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.read(index, [id_], deadline)
            # The document does not exist, but the deletion fails like any other write if permissions are missing.
            refused = await indices.write(index, [Action("delete", id_)], deadline)
        raise_refused([id_], refused, ignore=(_STATUS_NOT_FOUND,))

    async def _close(self) -> None:
        self._prepared.reset()
        await self._opened.close()

    # Names

    def _index(self, collection: str) -> str:
        strategy = self._index_strategy
        if strategy is None or isinstance(strategy, PassthroughStrategy):
            return index_name(self._prefix, collection)
        strategy.validate(collection)
        return index_name(self._prefix, strategy.sanitize(collection).lower())

    def _id(self, key: str) -> str:
        strategy = self._id_strategy
        if strategy is None or isinstance(strategy, PassthroughStrategy):
            return document_id(key)
        strategy.validate(key)
        return document_id(strategy.sanitize(key))

    def _ids(self, keys: Sequence[str]) -> Sequence[str]:
        return document_ids(keys) if self._id_strategy is None else [self._id(key) for key in keys]

    @property
    def _all_indices(self) -> str:
        return f"{self._prefix}-*"

    async def _prepare_index(self, index: str) -> None:
        """Prepare the index before the first write. Reading does not create an index."""
        if self._prepared.is_done(index):
            return

        async def prepare() -> None:
            indices = self._opened.get()
            async with indices.session.operation() as deadline:
                await indices.prepare(index, deadline)

        await self._prepared.run(index, prepare)

    # Entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        [entry] = await self._get_managed_entries(collection=collection, keys=(key,))
        return entry

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        indices = self._opened.get()
        async with indices.session.operation(len(keys)) as deadline:
            documents = await indices.documents(self._index(collection), self._ids(keys), deadline)
        return entries_of(documents, self.field)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._put_managed_entries(collection=collection, keys=[key], managed_entries=[managed_entry])

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        actions = [
            Action("index", self._id(key), document_of(collection, key, entry, self.field))
            for key, entry in zip(keys, managed_entries, strict=True)
        ]
        raise_refused(keys, await self._write(collection, actions))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._delete_managed_entries(collection=collection, keys=[key]))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        index, indices, now = self._index(collection), self._opened.get(), clock.now()
        deletions: dict[str, Action] = {}
        expired: set[str] = set()
        async with indices.session.operation(len(keys)) as deadline:
            # The response to a deletion does not say whether the entry had expired.
            found = await indices.read(index, self._ids(keys), deadline, METADATA_FIELDS)
            for key, each in zip(keys, found, strict=True):
                entry = None if each is None else entry_metadata(each.document)
                if each is None or entry is None or not entry.belongs_to(collection, key):
                    continue
                if entry.expires_at is not None and entry.expires_at <= now:
                    expired.add(key)
                # An expired entry is deleted only if no other client has replaced it in the meantime.
                deletions[key] = Action("delete", self._id(key), if_seq_no=each.seq_no if key in expired else None)
            refused = await indices.write(index, list(deletions.values()), deadline)
        raise_refused(list(deletions), refused, ignore=(_STATUS_NOT_FOUND, _STATUS_CONFLICT))
        return sum(outcome is None and key not in expired for key, outcome in zip(deletions, refused, strict=True))

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        found = await self._find(collection, key)
        if found is None:
            return None
        entry = entry_of(found.document, self.field)
        return VersionedEntry(entry, version_of(found.seq_no, entry, self._index(collection)))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        document = document_of(collection, key, managed_entry, self.field)
        if version is not None:
            seq_no = sequence_number_of(version, self._index(collection))
            return seq_no is not None and await self._write_if_unchanged(
                collection, key, Action("index", self._id(key), document, seq_no)
            )
        if await self._write_if_unchanged(collection, key, Action("create", self._id(key), document)):
            return True
        found = await self._find(collection, key)
        if found is None or live_entry(entry_of(found.document, self.field), collection, key) is not None:
            return False
        # The entry in the way has expired.
        return await self._write_if_unchanged(collection, key, Action("index", self._id(key), document, found.seq_no))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        seq_no = sequence_number_of(version, self._index(collection))
        return seq_no is not None and await self._write_if_unchanged(
            collection, key, Action("delete", self._id(key), if_seq_no=seq_no)
        )

    async def _find(self, collection: str, key: str) -> FoundDocument | None:
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            [found] = await indices.read(self._index(collection), [self._id(key)], deadline)
        return found

    async def _write(self, collection: str, actions: Sequence[Action]) -> list[Refusal | None]:
        index, indices = self._index(collection), self._opened.get()
        await self._prepare_index(index)
        async with indices.session.operation(len(actions)) as deadline:
            refused = await indices.write(index, actions, deadline)
        if any(each is not None and each.status == _STATUS_NOT_FOUND for each in refused):
            # The index was deleted: the next write creates it again.
            self._prepared.reset(index)
        return refused

    async def _write_if_unchanged(self, collection: str, key: str, action: Action) -> bool:
        """Return whether a conditional write succeeded; False if another write came first."""
        refused = await self._write(collection, [action])
        raise_refused([key], refused, ignore=(_STATUS_CONFLICT,))
        return refused == [None]

    # Listing

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        stored_prefix = field_prefix(prefix)
        if cursor is not None and not (cursor.startswith(stored_prefix) and is_field(cursor)):
            message = "cursor does not come from a scan of this collection"
            raise ValueError(message)
        index, indices = self._index(collection), self._opened.get()
        size = min(limit, _MAX_PAGE_HITS)
        body: dict[str, Any] = {
            "size": size,
            "_source": METADATA_FIELDS,
            "track_total_hits": False,
            "query": {
                "bool": {
                    "filter": [key_range(stored_prefix), {"term": {"collection": field_name(collection)}}],
                    "must_not": [expired("lt")],
                }
            },
            "sort": [{"key": {"order": "asc", "unmapped_type": "keyword"}}],
        }
        async with indices.session.operation() as deadline:
            if cursor is not None:
                body["search_after"] = [cursor]
            else:
                await indices.refresh(index, deadline)
            hits = await indices.search(index, body, deadline)
        now = clock.now()
        entries = [entry_metadata(hit["_source"]) for hit in hits]
        keys = [
            entry.key
            for entry in entries
            if entry.collection == collection
            and entry.key.startswith(prefix)
            and (entry.expires_at is None or entry.expires_at > now)
        ]
        return KeyPage(keys, hits[-1]["sort"][0] if len(hits) == size else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        indices = self._opened.get()
        collections: dict[str, None] = {}
        async with indices.session.operation() as deadline:
            await indices.refresh(self._all_indices, deadline)
            query = {"bool": {"filter": [{"exists": {"field": "key"}}], "must_not": [expired("lte")]}}
            async for index, stored in indices.buckets(self._all_indices, query, deadline):
                name = await self._original_name(index, stored, deadline) if is_shortened_field(stored) else stored
                # A document in any other index belongs to another store or was written by an earlier version.
                if self._index(name) == index:
                    collections[name] = None
                if limit is not None and len(collections) >= limit:
                    break
        return list(collections)

    async def _original_name(self, index: str, stored: str, deadline: float | None) -> str:
        body = {"size": 1, "_source": METADATA_FIELDS, "query": {"term": {"collection": stored}}}
        hits = await self._opened.get().search(index, body, deadline)
        return str(entry_metadata(hits[0]["_source"]).collection) if hits else stored

    # Removing

    async def _delete_collection(self, *, collection: str) -> bool:
        index, indices = self._index(collection), self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.refresh(index, deadline, always=True)
        in_collection = [{"term": {"collection": field_name(collection)}}, {"exists": {"field": "key"}}]
        # Expired entries are deleted first, because they do not count.
        await indices.delete_by_query(index, {"bool": {"filter": [*in_collection, expired("lte")]}})
        return bool(await indices.delete_by_query(index, {"bool": {"filter": in_collection}}))

    async def _cull(self) -> None:
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.refresh(self._all_indices, deadline)
        is_entry = [{"exists": {"field": name}} for name in ("key", "collection")]
        await indices.delete_by_query(self._all_indices, {"bool": {"filter": [expired("lt"), *is_entry]}})
