"""S3Store: an entry is an object, named by its collection and key."""

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
from key_value.aio.errors import KeyValueStoreError
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
from key_value.aio.stores.s3.listing import PAGE, Found, all_pages, collection_prefixes, found_of
from key_value.aio.stores.s3.older import get_entry, move_older
from key_value.aio.stores.s3.server import Facts, Server, have_bucket, prove_rights
from key_value.aio.stores.s3.versions import delete_exactly, delete_expired, delete_if, put_if_absent, put_if_etag
from key_value.aio.stores.s3.wire import Way

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["S3Store"]

# Entries looked at to tell whether a collection has a live one.
_FEW = 10


class S3Store(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a bucket of Amazon S3 or of a server that speaks its protocol, one object each.

    A batch is as many requests at once as `max_connections`. The bucket is created at the first use.
    """

    driver_errors = DRIVER_ERRORS
    # An entry that an earlier version has written anew, where names are escaped.
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
        """Take a client, or what leads to the bucket.

        `client` is an S3 client of aioboto3 or aiobotocore; it stays the caller's to close, and belongs to one event
        loop. Without one, each event loop gets a client of its own, and what is not given is looked for as the AWS
        tools do. With `endpoint_url`, the bucket is in the path of requests, and not in the host.

        `timeout` is the time in seconds that an operation may take in all, None for no limit; a batch has as much
        again for each full thousand of its entries. At most `max_connections` requests are under way at once; others
        wait.

        `escape_names` says whether names are escaped that a file system would fold; None finds out, on objects that
        are removed again, whether the server does, when it first matters.

        Raises ValueError for a name, region or endpoint that cannot be, for half of the credentials, for a client
        together with what leads to the bucket, and for a limit that is not above zero.
        """
        place = {
            "region_name": region_name,
            "endpoint_url": endpoint_url,
            "aws_access_key_id": aws_access_key_id,
            "aws_secret_access_key": aws_secret_access_key,
            "aws_session_token": aws_session_token,
        }
        check_bucket_name(bucket_name)
        check_options(client, "s3", place)
        seconds = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        self._bucket_name = bucket_name
        self._place = region_name if endpoint_url is None else redacted(endpoint_url)
        self._server = Server(self._believe, escape_names=escape_names)
        factory = ClientFactory(
            "s3",
            **place,
            max_pool_connections=max_connections,
            connect_timeout=seconds,
            read_timeout=seconds,
            # What is sent is made here, of values that are checked.
            parameter_validation=False,
            # TLS and the signature protect what is sent; servers of other makers know not all of the checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            s3={"addressing_style": "auto" if endpoint_url is None else "path"},
        )

        way = Way() if client is None else None

        def open_bucket() -> tuple[Bucket, LoopClient | GivenClient]:
            opened = LoopClient(factory.make) if client is None else GivenClient(client)
            return Bucket(bucket_name, opened.get, way, requests=max_connections, seconds=seconds), opened

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
        return f"S3Store({self._bucket_name}{f' at {self._place}' if self._place else ''})"

    # Lifecycle

    @property
    def _bucket(self) -> Bucket:
        return self._buckets.get()[0]

    async def _setup(self) -> None:
        bucket = self._bucket
        async with bucket.limit() as requests:
            client = await bucket.get_client()
            await have_bucket(requests, client.meta.region_name)

    async def _probe(self) -> None:
        async with self._bucket.limit() as requests:
            await prove_rights(requests)
            await self._server.facts(requests)

    async def _close(self) -> None:
        await self._buckets.close()

    def _believe(self, facts: Facts) -> None:
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
            # A deletion does not tell what there was.
            looks = await requests.each(requests.look, names)
            there = [name for name, seen in zip(names, looks, strict=True) if seen is not None]
            await requests.delete_each(there)
        return sum(seen is not None and seen.is_live for seen in looks)

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
            message = f"{self!r} has no conditional writes: the server does not hold to If-Match and If-None-Match"
            raise KeyValueStoreError(message)
        return facts

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        async with self._bucket.limit(min(limit, PAGE)) as requests:
            names = await self._server.names(requests)
            begin = names.prefix(collection)
            if cursor is not None and not cursor.startswith(begin):
                message = "the cursor is none of a scan of this bucket"
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
        """The collection whose entries' names begin like this, if it has a live one."""
        # The first is as good as any, unless it has expired.
        async with aclosing(all_pages(self._bucket, prefix, size=_FEW)) as pages:
            async for names in pages:
                async with self._bucket.limit() as requests:
                    found = await self._live(requests, names)
                if found:
                    return found[0].collection
        return None

    async def _live(self, requests: Requests, names: Sequence[str]) -> list[Found]:
        found = await self._found(requests, names)
        return [each for each in found if each.seen.is_live]

    async def _found(self, requests: Requests, names: Sequence[str]) -> list[Found]:
        """The entries of this store among the objects of these names, expired ones included."""
        all_names = await self._server.names(requests)

        async def look(name: str) -> Found | None:
            return await found_of(requests, all_names, name, self._stored_names)

        return [each for each in await requests.each(look, names) if each is not None]

    def _stored_names(self, collection: str, key: str) -> tuple[str, str]:
        return self._stored_collection(collection), self._stored_key(key)

    # Removing

    async def _cull(self) -> None:
        async with aclosing(all_pages(self._bucket, "")) as pages:
            async for names in pages:
                async with self._bucket.limit(len(names)) as requests:
                    expired = [each for each in await self._found(requests, names) if not each.seen.is_live]
                    # One that somebody has replaced since it was looked at stays, if the server looks at the ETag.
                    await requests.each(lambda each: delete_expired(requests, each.name, each.seen), expired)

    async def _delete_store(self) -> bool:
        await self._delete_written("", None)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        async with self._bucket.limit() as requests:
            names = await self._server.names(requests)
        return bool(await self._delete_written(names.prefix(collection), collection))

    async def _delete_written(self, prefix: str, collection: str | None) -> int:
        """Remove what stores have written, and nothing else that is named alike; how many live entries there were."""
        deleted = 0
        async with aclosing(all_pages(self._bucket, prefix)) as pages:
            async for names in pages:
                async with self._bucket.limit(len(names)) as requests:
                    found = await self._found(requests, names)
                    written = [each for each in found if collection in (None, each.collection)]
                    await requests.delete_each([each.name for each in written])
                deleted += sum(each.seen.is_live for each in written)
        return deleted


async def _close(opened: tuple[Bucket, LoopClient | GivenClient]) -> None:
    await opened[1].close()
