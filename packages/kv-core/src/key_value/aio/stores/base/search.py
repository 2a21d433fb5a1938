"""The hooks of a store on Elasticsearch or OpenSearch: a collection is an index, and an entry a document."""

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
    LISTED,
    MAX_DOCUMENT_BYTES,
    FlattenedField,
    document_of,
    entries_of,
    entry_of,
    listed,
)
from key_value.aio.core.search.driver import ClientOptions, Refusal, SearchDriver
from key_value.aio.core.search.errors import raise_refused
from key_value.aio.core.search.indices import Action, Found, Refresh, SearchIndices
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
from key_value.aio.core.search.options import check_place, check_refresh, place_in_url
from key_value.aio.core.search.queries import expired, key_range
from key_value.aio.core.search.session import ClientMaker, SearchSession
from key_value.aio.core.search.versions import place_of, version_of
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

# index.max_result_window
_LARGEST_PAGE = 10_000

_CONFLICT, _MISSING = 409, 404


class BaseSearchStore(
    BaseScanStore, BaseEnumerateCollectionsStore, BaseDestroyCollectionStore, BaseCullStore, BaseVersionedStore
):
    """A store that brings a driver, and the field that the driver's server has for values.

    An entry is read and written by the id of its document, at once. Listing finds what an index was refreshed for.
    """

    capabilities: Capabilities = Capabilities(
        durable=True, max_value_bytes=MAX_DOCUMENT_BYTES, atomic_delete=True, conditional_writes=True
    )
    field: ClassVar[FlattenedField]
    client_option: ClassVar[str]
    """The name of the option for a client."""

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
        check_place(self.client_option, client, self._load_driver, url, api_key)
        check_refresh(refresh)
        seconds = checked_timeout(timeout)
        connections = checked_count(max_connections, "max_connections", least=1)
        self._prefix = checked_index_prefix(index_prefix)
        self._place = None if url is None else redacted(url)
        # Not BaseStore's: a document holds its whole names, so that any strategy can be listed.
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
        """Import the driver. It is called often, and first in a thread."""

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return place_in_url(url)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._prefix}{f' at {self._place}' if self._place else ''})"

    async def setup_collection(self, *, collection: str) -> None:
        await super().setup_collection(collection=collection)
        await self._translated(self._prepare_index(self._index(collection)))

    async def _probe(self) -> None:
        index, id_ = self._index(self.default_collection), f"probe {uuid4().hex}"
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.read(index, [id_], deadline)
            # There is none: it is refused as any other write would be.
            refused = await indices.write(index, [Action("delete", id_)], deadline)
        raise_refused([id_], refused, but=(_MISSING,))

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
        """Before the first write; reading creates no index."""
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
        doomed: dict[str, Action] = {}
        expired: set[str] = set()
        async with indices.session.operation(len(keys)) as deadline:
            # A deletion does not tell what there was.
            found = await indices.read(index, self._ids(keys), deadline, LISTED)
            for key, each in zip(keys, found, strict=True):
                entry = None if each is None else listed(each.document)
                if each is None or entry is None or not entry.is_of(collection, key):
                    continue
                if entry.expires_at is not None and entry.expires_at <= now:
                    expired.add(key)
                # One that has expired is removed unless it is renewed meanwhile.
                doomed[key] = Action("delete", self._id(key), place=each.place if key in expired else None)
            refused = await indices.write(index, list(doomed.values()), deadline)
        raise_refused(list(doomed), refused, but=(_MISSING, _CONFLICT))
        return sum(outcome is None and key not in expired for key, outcome in zip(doomed, refused, strict=True))

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        found = await self._find(collection, key)
        if found is None:
            return None
        entry = entry_of(found.document, self.field)
        return VersionedEntry(entry, version_of(found.place, entry, self._index(collection)))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        document = document_of(collection, key, managed_entry, self.field)
        if version is not None:
            place = place_of(version, self._index(collection))
            return place is not None and await self._done(
                collection, key, Action("index", self._id(key), document, place)
            )
        if await self._done(collection, key, Action("create", self._id(key), document)):
            return True
        found = await self._find(collection, key)
        if found is None or live_entry(entry_of(found.document, self.field), collection, key) is not None:
            return False
        # It has expired.
        return await self._done(collection, key, Action("index", self._id(key), document, found.place))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        place = place_of(version, self._index(collection))
        return place is not None and await self._done(collection, key, Action("delete", self._id(key), place=place))

    async def _find(self, collection: str, key: str) -> Found | None:
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            [found] = await indices.read(self._index(collection), [self._id(key)], deadline)
        return found

    async def _write(self, collection: str, actions: Sequence[Action]) -> list[Refusal | None]:
        index, indices = self._index(collection), self._opened.get()
        await self._prepare_index(index)
        async with indices.session.operation(len(actions)) as deadline:
            refused = await indices.write(index, actions, deadline)
        if any(each is not None and each.status == _MISSING for each in refused):
            # The index was deleted: the next write creates it.
            self._prepared.reset(index)
        return refused

    async def _done(self, collection: str, key: str, action: Action) -> bool:
        """Whether a write was done that another one can come before."""
        refused = await self._write(collection, [action])
        raise_refused([key], refused, but=(_CONFLICT,))
        return refused == [None]

    # Listing

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        pushed = field_prefix(prefix)
        if cursor is not None and not (cursor.startswith(pushed) and is_field(cursor)):
            message = "the cursor is none of a scan of this collection"
            raise ValueError(message)
        index, indices = self._index(collection), self._opened.get()
        size = min(limit, _LARGEST_PAGE)
        body: dict[str, Any] = {
            "size": size,
            "_source": LISTED,
            "track_total_hits": False,
            "query": {
                "bool": {
                    "filter": [key_range(pushed), {"term": {"collection": field_name(collection)}}],
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
        entries = [listed(hit["_source"]) for hit in hits]
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
                name = await self._whole_name(index, stored, deadline) if is_shortened_field(stored) else stored
                # What is in another index is another store's, or was put there by an earlier version.
                if self._index(name) == index:
                    collections[name] = None
                if limit is not None and len(collections) >= limit:
                    break
        return list(collections)

    async def _whole_name(self, index: str, stored: str, deadline: float | None) -> str:
        body = {"size": 1, "_source": LISTED, "query": {"term": {"collection": stored}}}
        hits = await self._opened.get().search(index, body, deadline)
        return str(listed(hits[0]["_source"]).collection) if hits else stored

    # Removing

    async def _delete_collection(self, *, collection: str) -> bool:
        index, indices = self._index(collection), self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.refresh(index, deadline, always=True)
        ours = [{"term": {"collection": field_name(collection)}}, {"exists": {"field": "key"}}]
        # What has expired goes first, and does not count.
        await indices.delete_found(index, {"bool": {"filter": [*ours, expired("lte")]}})
        return bool(await indices.delete_found(index, {"bool": {"filter": ours}}))

    async def _cull(self) -> None:
        indices = self._opened.get()
        async with indices.session.operation() as deadline:
            await indices.refresh(self._all_indices, deadline)
        of_ours = [{"exists": {"field": name}} for name in ("key", "collection")]
        await indices.delete_found(self._all_indices, {"bool": {"filter": [expired("lt"), *of_ours]}})
