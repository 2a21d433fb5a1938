"""Base of the stores on Redis-compatible servers. Each entry is a string named `collection::key`."""

from abc import abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import islice
from uuid import uuid4

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.entry import ManagedEntry, live_entry
from key_value.aio.core.envelope import is_entry_named, load_entries, load_entry
from key_value.aio.core.names import collection_prefix, join_names
from key_value.aio.core.resp.commands import (
    MAX_VALUE_BYTES,
    MILLISECOND,
    glob_of_prefix,
    names_of_entries,
    set_command,
    text_of,
)
from key_value.aio.core.resp.scripts import DELETE_IF_DIGEST, PUT_IF_ABSENT, PUT_IF_DIGEST
from key_value.aio.core.resp.session import RespSession
from key_value.aio.core.resp.versions import digest_of, live_digest, version_of
from key_value.aio.protocols import KeyPage
from key_value.aio.stores.base.destroy_collection import BaseDestroyCollectionStore
from key_value.aio.stores.base.destroy_store import BaseDestroyStore
from key_value.aio.stores.base.enumerate_collections import BaseEnumerateCollectionsStore
from key_value.aio.stores.base.scan import BaseScanStore
from key_value.aio.stores.base.versioned import BaseVersionedStore, VersionedEntry

__all__ = ["BaseRespStore", "resp_capabilities"]

# COUNT of SCAN, in names. The minimum keeps small pages from costing a round trip per name.
_MIN_SCAN_COUNT = 100
_SCAN_COUNT = 1000


def resp_capabilities(*, atomic_put_many: bool) -> Capabilities:
    return Capabilities(
        durable=True,
        native_expiry=True,
        expiry_resolution=MILLISECOND,
        max_value_bytes=MAX_VALUE_BYTES,
        atomic_put_many=atomic_put_many,
        atomic_delete=True,
        conditional_writes=True,
    )


class BaseRespStore(
    BaseScanStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseDestroyCollectionStore, BaseVersionedStore
):
    """All hooks of a store on a Redis-compatible server; a subclass provides `_session`.

    The version of an entry contains the digest of the stored string.
    """

    scan_repeats = True

    @abstractmethod
    def _session(self) -> RespSession:
        """Return the session of the running event loop."""

    async def _probe(self) -> None:
        # The name is unused, so SET with XX changes nothing, but fails like any other SET if permissions are missing.
        name = join_names(self.default_collection, f"probe {uuid4().hex}")
        await self._session().execute_each([("GET", name), ("SET", name, "", "XX"), ("UNLINK", name)])

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        stored = await self._session().execute("GET", join_names(collection, key))
        return None if stored is None else load_entry(stored)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        prefix = collection_prefix(collection)
        return load_entries(await self._session().get_each([prefix + key for key in keys]))

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._session().execute(*set_command(collection, key, managed_entry))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        prefix = collection_prefix(collection)
        texts = [text_of(collection, key, entry) for key, entry in zip(keys, managed_entries, strict=True)]
        # Entries of one batch expire at the same time.
        await self._session().set_each([prefix + key for key in keys], texts, managed_entries[0].remaining(MILLISECOND))

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._session().execute("UNLINK", join_names(collection, key)))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        prefix = collection_prefix(collection)
        return await self._session().unlink_each([prefix + key for key in keys])

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        stored = await self._session().execute("GET", join_names(collection, key))
        if stored is None:
            return None
        entry = load_entry(stored)
        return VersionedEntry(entry, version_of(entry, stored))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        session = self._session()
        _, name, *options = set_command(collection, key, managed_entry)
        if version is None:
            stored = await session.run_script(PUT_IF_ABSENT, [str(name)], *options)
            if stored is None:
                return True
            if live_entry(load_entry(stored), collection, key) is not None:
                return False
            # It has expired by the local clock, but not yet by the server's.
            digest = digest_of(stored)
        else:
            digest = live_digest(version)
        return digest is not None and bool(await session.run_script(PUT_IF_DIGEST, [str(name)], digest, *options))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        digest = live_digest(version)
        if digest is None:
            return False
        return bool(await self._session().run_script(DELETE_IF_DIGEST, [join_names(collection, key)], digest))

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        names, next_cursor = await self._scan_names(collection_prefix(collection) + prefix, cursor, limit)
        return KeyPage([key for owner, key in names.values() if owner == collection], next_cursor)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: dict[str, None] = {}
        async with aclosing(self._pages("")) as pages:
            async for names in pages:
                collections.update((collection, None) for collection, _ in names.values())
                if limit is not None and len(collections) >= limit:
                    break
        return list(islice(collections, limit))

    async def _delete_store(self) -> bool:
        await self._delete_written("", None)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return bool(await self._delete_written(collection_prefix(collection), collection))

    async def _delete_written(self, prefix: str, collection: str | None) -> int:
        """Remove the entries whose names begin with the prefix, of one collection or of all; return how many.

        Keeps strings of other applications with similar names.
        """
        session = self._session()
        deleted = 0
        async for names in self._pages(prefix):
            stored = await session.get_each(list(names)) if names else []
            written = [name for name, text in zip(names, stored, strict=True) if is_entry_named(name, text, collection)]
            if written:
                deleted += await session.unlink_each(written)
        return deleted

    async def _pages(self, prefix: str) -> AsyncGenerator[dict[str, tuple[str, str]], None]:
        """Yield pages of stored names in the form `join_names` returns, each with its collection and key.

        A name may repeat.
        """
        position = None
        while True:
            names, position = await self._scan_names(prefix, position, _SCAN_COUNT)
            yield names
            if position is None:
                return

    async def _scan_names(
        self, prefix: str, position: str | None, count: int
    ) -> tuple[dict[str, tuple[str, str]], str | None]:
        page, next_position = await self._session().scan(glob_of_prefix(prefix), position, max(count, _MIN_SCAN_COUNT))
        return names_of_entries(page), next_position
