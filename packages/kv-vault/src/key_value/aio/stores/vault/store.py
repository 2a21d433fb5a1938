"""VaultStore, which stores each entry as a secret with a path made of collection and key."""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from key_value.aio.core import clock
from key_value.aio.core.clients import GivenClient, LoopClient, check_client
from key_value.aio.core.envelope import load_entry
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.secret_text import Text, plain
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
from key_value.aio.stores.vault.engine import Engine, Requests
from key_value.aio.stores.vault.entries import FoundEntry, secret_data
from key_value.aio.stores.vault.errors import DRIVER_ERRORS
from key_value.aio.stores.vault.names import path_of, path_prefix, split_path
from key_value.aio.stores.vault.options import DEFAULT_URL, check_options, checked_mount_point, options_in
from key_value.aio.stores.vault.setup import check_setup
from key_value.aio.stores.vault.transports import HvacTransport, make_http
from key_value.aio.stores.vault.versions import delete, delete_if, put_if, put_if_absent, retire, version_of
from key_value.aio.stores.vault.walk import entry_pages, find, paths_after

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["VaultStore"]

# The default limit of integrated storage, less its own overhead per entry.
# https://developer.hashicorp.com/vault/docs/internals/limits
_MAX_ENTRY_BYTES = 1024**2 - 1024

# `cull` removes the path of an entry only this long after its expiry, when a concurrent write is unlikely.
_REMOVAL_DELAY = timedelta(seconds=60)


class VaultStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a KV version 2 secrets engine of HashiCorp Vault or OpenBao, one secret each.

    Vault has no batch requests: a batch sends up to `max_connections` requests at once.
    """

    driver_errors = DRIVER_ERRORS
    capabilities: Capabilities = Capabilities(
        durable=True, max_value_bytes=_MAX_ENTRY_BYTES, atomic_delete=True, conditional_writes=True
    )

    @warn_types
    def __init__(
        self,
        *,
        client: Any = None,
        url: str = DEFAULT_URL,
        token: Text | None = None,
        mount_point: str = "secret",
        default_collection: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 30.0,
        max_connections: int = 50,
        max_value_bytes: int = _MAX_ENTRY_BYTES,
    ) -> None:
        """Create a store from a client or connection options, and the mount path of the secrets engine.

        `client` is an `hvac.Client`, authenticated by any method; the caller closes it, and its requests run in
        threads. Without a client, each event loop gets its own connections. `token` defaults to the environment
        variable VAULT_TOKEN, then to the file `~/.vault-token`. VAULT_CACERT and VAULT_CAPATH name the certificate
        authorities for the server's certificate.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. At most `max_connections` requests are in flight at once; others wait.
        `max_value_bytes` is the largest entry that the server's storage accepts.

        Raises ValueError for an invalid URL, token, namespace or mount point, for a client together with connection
        options, and for a limit that is not positive; TypeError for a client of another type.
        """
        secret = plain(token)
        check_options(client, url, secret, namespace)
        if client is not None:
            from hvac import Client

            check_client(client, Client)
        self._mount_point = checked_mount_point(mount_point)
        self._url = None if client is not None else url
        self._limit = checked_count(max_value_bytes, "max_value_bytes", least=1)
        self.capabilities = replace(type(self).capabilities, max_value_bytes=self._limit)
        seconds = checked_timeout(timeout)
        connections = checked_count(max_connections, "max_connections", least=1)
        make = make_http(url, secret, namespace, connections)

        def open_engine() -> tuple[Engine, LoopClient | GivenClient]:
            opened = LoopClient(make) if client is None else GivenClient(HvacTransport(client))
            return Engine(self._mount_point, opened.get, requests=connections, seconds=seconds), opened

        self._engines = PerLoop(open_engine, _close)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return options_in(url)

    def __repr__(self) -> str:
        return f"VaultStore({self._mount_point}{f' at {self._url}' if self._url else ''})"

    @property
    def _engine(self) -> Engine:
        return self._engines.get()[0]

    async def _probe(self) -> None:
        engine = self._engine
        async with engine.limit() as requests:
            await check_setup(engine, requests, path_of(self.default_collection, "probe"))

    async def _close(self) -> None:
        await self._engines.close()

    # Single entries

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        async with self._engine.limit() as requests:
            return await _read_entry(requests, path_of(collection, key))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        data = secret_data(managed_entry, collection, key, self._limit)
        async with self._engine.limit() as requests:
            await requests.write(path_of(collection, key), data)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        async with self._engine.limit() as requests:
            return await delete(requests, collection, key)

    # Batches

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        async with self._engine.limit(len(keys)) as requests:
            return [*await requests.each(lambda key: _read_entry(requests, path_of(collection, key)), keys)]

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        pairs = zip(keys, managed_entries, strict=True)
        secrets = [(path_of(collection, key), secret_data(entry, collection, key, self._limit)) for key, entry in pairs]
        async with self._engine.limit(len(keys)) as requests:
            await requests.each(lambda secret: requests.write(*secret), secrets)

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        async with self._engine.limit(len(keys)) as requests:
            return sum(await requests.each(partial(delete, requests, collection), keys))

    # Versions

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        async with self._engine.limit() as requests:
            secret = await requests.read(path_of(collection, key))
        if secret is None or secret.data is None:
            return None
        return VersionedEntry(load_entry(secret.text), version_of(secret))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        data = secret_data(managed_entry, collection, key, self._limit)
        async with self._engine.limit() as requests:
            if version is None:
                return await put_if_absent(requests, path_of(collection, key), data)
            return await put_if(requests, collection, key, data, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        async with self._engine.limit() as requests:
            return await delete_if(requests, collection, key, version)

    # Names

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        engine, begin = self._engine, path_prefix(collection, prefix)
        if cursor is not None and not cursor.startswith(begin):
            message = "the cursor was not returned by a scan of this store"
            raise ValueError(message)
        found: list[str] = []
        async with aclosing(paths_after(engine, begin, cursor or "")) as paths:
            async for path in paths:
                found.append(path)
                if len(found) > limit:
                    break
        page, following = found[:limit], len(found) > limit
        async with engine.limit(len(page)) as requests:
            entries = await find(requests, page)
        keys = [each.key for each in entries if _is_live_in(each, collection) and each.key.startswith(prefix)]
        return KeyPage(keys, page[-1] if following else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        engine = self._engine
        async with aclosing(paths_after(engine, "")) as paths:
            async for path in paths:
                names = split_path(path)
                if names is not None and names[0] in collections:
                    continue
                async with engine.limit() as requests:
                    found = await find(requests, [path])
                collections.update((each.collection, None) for each in found if _is_live_in(each, each.collection))
                if limit is not None and len(collections) >= limit:
                    break
        return list(islice(collections, limit))

    # Removing

    async def _delete_store(self) -> bool:
        await self._remove_all("", None)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._remove_all(path_prefix(collection, ""), collection)

    async def _remove_all(self, prefix: str, collection: str | None) -> bool:
        """Remove all entries, or those of the given collection. Return whether any of them was live."""
        engine, removed = self._engine, False
        async with aclosing(entry_pages(engine, prefix)) as pages:
            async for page in pages:
                found = [each for each in page if collection in (None, each.collection)]
                async with engine.limit(len(found)) as requests:
                    await requests.each(lambda each: requests.remove(each.path), found)
                removed = removed or any(not each.entry.is_expired for each in found)
        return removed

    async def _cull(self) -> None:
        engine = self._engine
        async with aclosing(entry_pages(engine, "")) as pages:
            async for page in pages:
                expired = [each for each in page if each.entry.is_expired]
                async with engine.limit(len(expired)) as requests:
                    await requests.each(partial(_remove_expired, requests), expired)


async def _read_entry(requests: Requests, path: str) -> ManagedEntry | None:
    secret = await requests.read(path)
    return None if secret is None or secret.data is None else load_entry(secret.text)


def _is_live_in(found: FoundEntry, collection: str) -> bool:
    """Whether it is a live entry of the collection that `get` would find."""
    is_reachable = found.collection == collection and found.path == path_of(collection, found.key)
    return is_reachable and not found.entry.is_expired


async def _remove_expired(requests: Requests, found: FoundEntry) -> None:
    """Remove an entry that expired long ago; of one that may be rewritten just now, remove only the value."""
    expires_at = found.entry.expires_at
    if expires_at is not None and expires_at + _REMOVAL_DELAY <= clock.now():
        await requests.remove(found.path)
    elif found.is_empty:
        await requests.destroy(found.path, found.secret.version - 1)
    elif found.path == path_of(found.collection, found.key):
        await retire(requests, found.collection, found.key, found.secret)


async def _close(opened: tuple[Engine, LoopClient | GivenClient]) -> None:
    await opened[1].close()
