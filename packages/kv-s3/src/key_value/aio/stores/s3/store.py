"""S3Store, which stores each entry as an object named by its collection and key."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from key_value.aio.core.aws.clients import ClientFactory
from key_value.aio.core.aws.options import check_options
from key_value.aio.core.clients import GivenClient, LoopClient
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.sanitization import SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.urls import redacted
from key_value.aio.errors import StoreSetupError
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
from key_value.aio.stores.s3.bucket import DRIVER_ERRORS, Bucket, Requests, check_bucket_name
from key_value.aio.stores.s3.entries import MAX_ENTRY_BYTES, parameters_of, parse_version, version_of
from key_value.aio.stores.s3.listing import MAX_PAGE_NAMES, FoundEntry, all_pages, collection_prefixes, find_entry
from key_value.aio.stores.s3.object_client import RouteCache
from key_value.aio.stores.s3.older_names import get_entry, move_older
from key_value.aio.stores.s3.server import Facts, Server, check_rights, ensure_bucket
from key_value.aio.stores.s3.versions import delete_exactly, delete_expired, delete_if, put_if_absent, put_if_etag

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["S3Store"]

# Entries read per request to find a live one of a collection.
_LIVE_CHECK_PAGE_ENTRIES = 10


class S3Store(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a bucket of Amazon S3 or an S3-compatible server, one object each.

    A batch sends up to `max_connections` requests at once. The bucket is created at the first use.
    """

    driver_errors = DRIVER_ERRORS
    # With escaped names, an entry that an earlier version rewrote may be listed twice.
    scan_repeats = True
    capabilities = Capabilities(
        durable=True, max_value_bytes=MAX_ENTRY_BYTES, atomic_delete=True, conditional_writes=True
    )

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        bucket_name: str,
        region_name: str | None = None,
        endpoint_url: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        default_collection: str | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        timeout: float | None = 30.0,
        max_connections: int = 50,
        escape_names: bool | None = None,
    ) -> None:
        """Create a store from the name of a bucket, and a client or connection options.

        `client` is an aiobotocore or aioboto3 client for the service "s3"; the caller closes it, and it belongs to one
        event loop. Without a client, each event loop gets its own; a missing region or missing credentials are looked
        up the way the AWS tools do. With `endpoint_url`, requests name the bucket in the path instead of the host.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` requests are in flight at once; others wait.

        `escape_names` decides whether names that a file system would merge are escaped; None detects, at the first name
        concerned, whether the server merges them, with test objects that are removed again.

        Raises ValueError for an invalid name, region or endpoint, for incomplete credentials, for a client together
        with connection options, and for a limit that is not positive.
        """
        connection_options = {
            "region_name": region_name,
            "endpoint_url": endpoint_url,
            "aws_access_key_id": aws_access_key_id,
            "aws_secret_access_key": aws_secret_access_key,
            "aws_session_token": aws_session_token,
        }
        check_bucket_name(bucket_name)
        check_options(client, "s3", connection_options)
        seconds = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        self._bucket_name = bucket_name
        self._region_or_endpoint = region_name if endpoint_url is None else redacted(endpoint_url)
        self._server = Server(self._on_detected, escape_names=escape_names)
        factory = ClientFactory(
            "s3",
            **connection_options,
            max_pool_connections=max_connections,
            connect_timeout=seconds,
            read_timeout=seconds,
            # Every request is built here, from checked values.
            parameter_validation=False,
            # TLS and the signature protect the data; other servers do not support every checksum.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "auto" if endpoint_url is None else "path"},
        )

        route_cache = RouteCache() if client is None else None

        def open_bucket() -> tuple[Bucket, LoopClient | GivenClient]:
            opened = LoopClient(factory.make) if client is None else GivenClient(client)
            return Bucket(bucket_name, opened.get, route_cache, requests=max_connections, seconds=seconds), opened

        self._buckets = PerLoop(open_bucket, _close)
        super().__init__(
            default_collection=default_collection,
            collection_sanitization_strategy=collection_sanitization_strategy,
            key_sanitization_strategy=key_sanitization_strategy,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"bucket_name": url.name_of("bucket", "region_name=eu-central-1")}

    def __repr__(self) -> str:
        return f"S3Store({self._bucket_name}{f' at {self._region_or_endpoint}' if self._region_or_endpoint else ''})"

    # Lifecycle

    @property
    def _bucket(self) -> Bucket:
        return self._buckets.get()[0]

    async def _setup(self) -> None:
        bucket = self._bucket
        async with bucket.limit() as requests:
            client = await bucket.get_client()
            await ensure_bucket(requests, client.meta.region_name)

    async def _probe(self) -> None:
        async with self._bucket.limit() as requests:
            await check_rights(requests)
            await self._server.facts(requests)

    async def _close(self) -> None:
        await self._buckets.close()

    def _on_detected(self, facts: Facts) -> None:
        self.capabilities: Capabilities = replace(
            type(self).capabilities, atomic_delete=facts.conditions, conditional_writes=facts.conditions
        )

    async def _names_to_write(self, requests: Requests, collection: str, keys: Sequence[str]) -> list[str]:
        names = await self._server.names_for(requests, collection, keys)
        if all(names.older_name(collection, key) is None for key in keys):
            return [names.name(collection, key) for key in keys]
        return await requests.each(lambda key: move_older(requests, names, collection, key), keys)

    # Single entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        async with self._bucket.limit() as requests:
            names = await self._server.names_for(requests, collection, [key])
            stored = await get_entry(requests, names, collection, key)
        return None if stored is None else stored.load()

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        parameters = parameters_of(collection, key, managed_entry)
        async with self._bucket.limit() as requests:
            await requests.put((await self._names_to_write(requests, collection, [key]))[0], parameters)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        async with self._bucket.limit() as requests:
            facts = await self._server.facts(requests)
            return await delete_exactly(requests, facts, (await self._names_to_write(requests, collection, [key]))[0])

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        async with self._bucket.limit(len(keys)) as requests:
            names = await self._server.names_for(requests, collection, keys)
            found = await requests.each(lambda key: get_entry(requests, names, collection, key), keys)
        return [None if stored is None else stored.load() for stored in found]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        entries = [parameters_of(collection, key, entry) for key, entry in zip(keys, managed_entries, strict=True)]
        async with self._bucket.limit(len(keys)) as requests:
            names = await self._names_to_write(requests, collection, keys)
            await requests.each(lambda named: requests.put(*named), zip(names, entries, strict=True))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        async with self._bucket.limit(len(keys)) as requests:
            names = await self._names_to_write(requests, collection, keys)
            # A deletion does not report whether the object existed.
            infos = await requests.each(requests.inspect, names)
            existing = [name for name, info in zip(names, infos, strict=True) if info is not None]
            await requests.delete_each(existing)
        return sum(info is not None and info.is_live for info in infos)

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        async with self._bucket.limit() as requests:
            await self._require_conditions(requests)
            stored = await requests.get((await self._names_to_write(requests, collection, [key]))[0])
        if stored is None:
            return None
        entry = stored.load()
        return VersionedEntry(entry, version_of(stored, entry.expires_at))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        parameters = parameters_of(collection, key, managed_entry)
        etag, is_live = (None, True) if version is None else parse_version(version)
        async with self._bucket.limit() as requests:
            await self._require_conditions(requests)
            name = (await self._names_to_write(requests, collection, [key]))[0]
            if etag is None:
                return await put_if_absent(requests, name, parameters)
            return is_live and await put_if_etag(requests, name, parameters, etag)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        etag, is_live = parse_version(version)
        async with self._bucket.limit() as requests:
            facts = await self._require_conditions(requests)
            name = (await self._names_to_write(requests, collection, [key]))[0]
            return is_live and await delete_if(requests, facts, name, etag)

    async def _require_conditions(self, requests: Requests) -> Facts:
        facts = await self._server.facts(requests)
        if not facts.conditions:
            message = (
                f"{self!r} has no conditional writes: the server does not support If-Match and If-None-Match; "
                "use put and delete"
            )
            raise StoreSetupError(message)
        return facts

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        async with self._bucket.limit(min(limit, MAX_PAGE_NAMES)) as requests:
            names = await self._server.names(requests)
            begin = names.prefix(collection)
            if cursor is not None and not cursor.startswith(begin):
                message = "the cursor was not returned by a scan of this store"
                raise ValueError(message)
            page = await requests.list(begin + names.key_prefix(prefix), after=cursor or "", limit=limit)
            found = await self._live(requests, page.names)
        keys = [each.key for each in found if each.collection == collection and each.key.startswith(prefix)]
        return KeyPage(keys, page.names[-1] if page.following and page.names else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        async with aclosing(collection_prefixes(self._bucket)) as prefixes:
            async for prefix in prefixes:
                collection = await self._collection_at(prefix)
                if collection is not None:
                    collections[collection] = None
                if limit is not None and len(collections) >= limit:
                    break
        return list(islice(collections, limit))

    async def _collection_at(self, prefix: str) -> str | None:
        """Return the collection of the entries with this name prefix, if it has a live one."""
        # Any live entry will do; usually the first is live.
        async with aclosing(all_pages(self._bucket, prefix, size=_LIVE_CHECK_PAGE_ENTRIES)) as pages:
            async for names in pages:
                async with self._bucket.limit() as requests:
                    found = await self._live(requests, names)
                if found:
                    return found[0].collection
        return None

    async def _live(self, requests: Requests, names: Sequence[str]) -> list[FoundEntry]:
        found = await self._found(requests, names)
        return [each for each in found if each.info.is_live]

    async def _found(self, requests: Requests, names: Sequence[str]) -> list[FoundEntry]:
        """Return those objects that are entries of this store, including expired ones."""
        all_names = await self._server.names(requests)

        async def inspect(name: str) -> FoundEntry | None:
            return await find_entry(requests, all_names, name, self._stored_names)

        return [each for each in await requests.each(inspect, names) if each is not None]

    def _stored_names(self, collection: str, key: str) -> tuple[str, str]:
        return self._stored_collection(collection), self._stored_key(key)

    # Removing

    async def _cull(self) -> None:
        async with aclosing(all_pages(self._bucket, "")) as pages:
            async for names in pages:
                async with self._bucket.limit(len(names)) as requests:
                    expired = [each for each in await self._found(requests, names) if not each.info.is_live]
                    # An entry replaced meanwhile is kept if the server checks the ETag.
                    await requests.each(lambda each: delete_expired(requests, each.name, each.info), expired)

    async def _delete_store(self) -> bool:
        await self._delete_own_objects("", None)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        async with self._bucket.limit() as requests:
            names = await self._server.names(requests)
        return bool(await self._delete_own_objects(names.prefix(collection), collection))

    async def _delete_own_objects(self, prefix: str, collection: str | None) -> int:
        """Remove the objects that stores have written, no foreign ones. Return how many entries were live."""
        deleted = 0
        async with aclosing(all_pages(self._bucket, prefix)) as pages:
            async for names in pages:
                async with self._bucket.limit(len(names)) as requests:
                    found = await self._found(requests, names)
                    written = [each for each in found if collection in (None, each.collection)]
                    await requests.delete_each([each.name for each in written])
                deleted += sum(each.info.is_live for each in written)
        return deleted


async def _close(opened: tuple[Bucket, LoopClient | GivenClient]) -> None:
    await opened[1].close()
