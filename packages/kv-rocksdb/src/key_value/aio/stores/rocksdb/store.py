"""RocksDBStore: JSON envelopes under `collection::key`."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.directories import Durability, is_full, user_path
from key_value.aio.core.envelope import dump_entry, is_entry_named, load_entry
from key_value.aio.core.marks import digest
from key_value.aio.core.names import collection_prefix, end_of_prefix, join_names, split_names
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseScanStore,
    BaseVersionedStore,
    KeyPage,
    ManagedEntry,
    VersionedEntry,
)
from key_value.aio.stores.rocksdb.database import (
    DRIVER_ERRORS,
    PAGE_ENTRIES,
    RocksDatabase,
    client_opener,
    make_calls,
    path_opener,
)
from rocksdict import Rdict

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["RocksDBStore"]


class RocksDBStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a RocksDB database. Only one process at a time can open it."""

    driver_errors = DRIVER_ERRORS
    capabilities: Capabilities = Capabilities(
        durable=True, atomic_put_many=True, atomic_delete=True, conditional_writes=True
    )

    @warn_types
    def __init__(
        self,
        *,
        db: Rdict | None = None,
        path: Path | str | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: Durability = "normal",
    ) -> None:
        """Use an open database, or the one in the directory `path`.

        The caller may keep using `db`, and closes it. A missing database at `path` is created unless `auto_create` is
        False. With `durability` "normal" an acknowledged write survives a crash of the process; with "full" also a
        power failure, because each write waits for the disk.

        Raises ValueError unless exactly one of `db` and `path` is given, and for an unknown durability;
        TypeError for a path of another type.
        """
        checked_paths(path=path)
        if (db is None) is (path is None) or path == "":
            message = "pass either db=, an open rocksdict.Rdict, or path=, the directory of a database"
            raise ValueError(message)
        sync = is_full(durability)
        if db is not None:
            self._where = "db"
            open_database = client_opener(db, sync=sync)
        else:
            location = user_path(str(path))
            self._where = str(location)
            open_database = path_opener(location, create=auto_create, sync=sync)
        self._worker = Worker(open_database, RocksDatabase.close, make_calls)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    def __repr__(self) -> str:
        return f"RocksDBStore({self._where})"

    async def _setup(self) -> None:
        await self._worker.run(RocksDatabase.check)

    async def _probe(self) -> None:
        await self._worker.run(RocksDatabase.check)

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        stored = await self._worker.run(RocksDatabase.get, join_names(collection, key))
        return None if stored is None else self._entry(collection, key, stored)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        found = await self._worker.run(RocksDatabase.get_many, _joined(collection, keys))
        return [
            None if stored is None else self._entry(collection, key, stored)
            for key, stored in zip(keys, found, strict=True)
        ]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._worker.run(RocksDatabase.put, join_names(collection, key), dump_entry(managed_entry))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        texts = [dump_entry(entry) for entry in managed_entries]
        await self._worker.run(RocksDatabase.put_many, _joined(collection, keys), texts)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._delete_managed_entries(collection=collection, keys=[key]) == 1

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        found = await self._worker.run(RocksDatabase.delete_many, _joined(collection, keys))
        return sum(stored is not None and _is_live(stored) for stored in found)

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        stored = await self._worker.run(RocksDatabase.get, join_names(collection, key))
        return None if stored is None else VersionedEntry(self._entry(collection, key, stored), _version(stored))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        name, text = join_names(collection, key), dump_entry(managed_entry)
        return await self._worker.run(RocksDatabase.put_if, name, text, partial(_has_version, version))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        name = join_names(collection, key)
        return await self._worker.run(RocksDatabase.delete_if, name, partial(_has_version, version))

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        head = collection_prefix(collection)
        start = head + (prefix if cursor is None else max(prefix, cursor + "\0"))
        keys, last = await self._worker.run(_live_keys, head, start, end_of_prefix(head + prefix), limit)
        return KeyPage(keys, last)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        collections: list[str] = []
        start = ""
        while found := await self._worker.run(_next_collection, start):
            collection, start = found
            if collection is not None:
                collections.append(collection)
                if len(collections) == limit:
                    break
        return collections

    async def _delete_store(self) -> bool:
        await self._delete("", None, is_entry_named)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        prefix = collection_prefix(collection)
        return await self._delete(prefix, end_of_prefix(prefix), is_entry_named) > 0

    async def _cull(self) -> None:
        await self._delete("", None, lambda name, stored: not _is_live(stored) and is_entry_named(name, stored))

    async def _delete(self, start: str, end: str | None, is_selected: Callable[[str, object], bool]) -> int:
        """Delete the selected entries page by page, so that other calls can run in between; return how many."""
        deleted = 0
        while True:
            past, count = await self._worker.run(RocksDatabase.delete_in_page, start, end, is_selected)
            deleted += count
            if not past:
                return deleted
            start = past

    def _entry(self, collection: str, key: str, stored: object) -> ManagedEntry:
        try:
            return _load(stored)
        except DeserializationError as exc:
            message = f"{exc.message}: key {key!r:.80}, collection {collection!r:.80}, database {self._where}"
            raise DeserializationError(message) from exc


def _load(stored: object) -> ManagedEntry:
    if isinstance(stored, (bytes, str)):
        return load_entry(stored)
    message = f"the stored data is of type {type(stored).__name__}, not text"
    raise DeserializationError(message)


def _is_live(stored: object) -> bool:
    """Whether the data has not expired. Data that is not an entry never expires."""
    if isinstance(stored, bytes):
        # Avoids parsing most entries.
        if b'"expires_at"' not in stored:
            return True
    elif not isinstance(stored, str):
        return True
    try:
        return not load_entry(stored).is_expired
    except DeserializationError:
        return True


def _version(stored: object) -> str:
    return digest(stored if isinstance(stored, (bytes, str)) else None)


def _has_version(version: str | None, stored: object) -> bool:
    if stored is None or not _is_live(stored):
        return version is None
    return _version(stored) == version


def _live_keys(
    database: RocksDatabase, head: str, start: str, end: str | None, limit: int
) -> tuple[list[str], str | None]:
    """Return the keys of live entries among the next names, and the last key examined (None: there was none)."""
    keys: list[str] = []
    last = None
    for name, stored in database.iterate(start, end, min(limit, PAGE_ENTRIES)):
        last = name[len(head) :]
        if last and _is_live(stored):
            keys.append(last)
    return keys, last


def _next_collection(database: RocksDatabase, start: str) -> tuple[str | None, str] | None:
    """Return the collection of the first live entry from `start`, and where the search for the next one starts.

    The collection is None if a whole page has no live entry. Returns None when no names are left.
    """
    past = None
    for name, stored in database.iterate(start, None):
        names = split_names(name)
        if names is not None and _is_live(stored):
            return names[0], str(end_of_prefix(collection_prefix(names[0])))
        past = name + "\0"
    return None if past is None else (None, past)


def _joined(collection: str, keys: Iterable[str]) -> list[str]:
    prefix = collection_prefix(collection)
    return [prefix + key for key in keys]
