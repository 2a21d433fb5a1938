"""RocksDBStore: entries as texts under `collection::key`."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.envelope import dump_entry, load_entry
from key_value.aio.core.names import collection_prefix, join_names, split_names
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    ManagedEntry,
)
from key_value.aio.stores.rocksdb.database import (
    DRIVER_ERRORS,
    Database,
    make_calls,
    opener_of_client,
    opener_of_path,
)
from rocksdict import Rdict

__all__ = ["RocksDBStore"]


class RocksDBStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
):
    """Entries in a RocksDB database, which one process at a time has open."""

    driver_errors = DRIVER_ERRORS
    capabilities = Capabilities(durable=True, atomic_put_many=True)

    @warn_types
    def __init__(
        self,
        *,
        db: Rdict | None = None,
        path: Path | str | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: Literal["normal", "full"] = "normal",
    ) -> None:
        """Take an open database, or the path of the directory of one.

        `db` stays the caller's to use and to close. At `path` a database is created where there is none, unless
        `auto_create` is False. With `durability` "normal" an acknowledged entry survives the end of the process, with
        "full" a power failure too: each write then waits for the medium.

        Raises ValueError unless one of db and path is given, and for another durability.
        """
        if (db is None) is (path is None) or path == "":
            message = "pass either db=, an open rocksdict.Rdict, or path=, the directory of a database"
            raise ValueError(message)
        if durability not in ("normal", "full"):
            message = f"durability must be 'normal' or 'full', not {durability!r:.80}"
            raise ValueError(message)
        sync = durability == "full"
        if db is not None:
            self._where = "db"
            open_database = opener_of_client(db, sync=sync)
        else:
            self._where = str(path)
            open_database = opener_of_path(Path(self._where), create=auto_create, sync=sync)
        self._worker = Worker(open_database, Database.close, make_calls)
        super().__init__(default_collection=default_collection)

    def __repr__(self) -> str:
        return f"RocksDBStore({self._where})"

    async def _setup(self) -> None:
        await self._worker.run(Database.check)

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        stored = await self._worker.run(Database.get, join_names(collection, key))
        return None if stored is None else self._entry(collection, key, stored)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        found = await self._worker.run(Database.get_many, _joined(collection, keys))
        return [
            None if stored is None else self._entry(collection, key, stored)
            for key, stored in zip(keys, found, strict=True)
        ]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._worker.run(Database.put, join_names(collection, key), dump_entry(managed_entry))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        texts = [dump_entry(entry) for entry in managed_entries]
        await self._worker.run(Database.put_many, _joined(collection, keys), texts)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._delete_managed_entries(collection=collection, keys=[key]) == 1

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        found = await self._worker.run(Database.delete_many, _joined(collection, keys))
        return sum(stored is not None and _is_live(stored) for stored in found)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        prefix = collection_prefix(collection)
        start, end = prefix, _end(prefix)
        keys: list[str] = []
        while page := await self._worker.run(Database.page, start, end):
            for name, stored in page:
                if name != prefix and _is_live(stored):
                    keys.append(name[len(prefix) :])
                    if len(keys) == limit:
                        return keys
            start = page[-1][0] + "\0"
        return keys

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
        await self._delete("", None, _is_written)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        prefix = collection_prefix(collection)
        return await self._delete(prefix, _end(prefix), _is_written) > 0

    async def _cull(self) -> None:
        await self._delete("", None, lambda name, stored: not _is_live(stored) and _is_written(name, stored))

    async def _delete(self, start: str, end: str | None, doomed: Callable[[str, object], bool]) -> int:
        """Remove what is doomed, a page at a time, so that other calls have their turn."""
        deleted = 0
        while True:
            past, count = await self._worker.run(Database.delete_in_page, start, end, doomed)
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
    message = f"what is stored is no text but of type {type(stored).__name__}"
    raise DeserializationError(message)


def _is_live(stored: object) -> bool:
    """Whether it has not expired, as what is no entry never does."""
    if isinstance(stored, bytes):
        # So that the text of most entries is not parsed.
        if b'"expires_at"' not in stored:
            return True
    elif not isinstance(stored, str):
        return True
    try:
        return not load_entry(stored).is_expired
    except DeserializationError:
        return True


def _is_written(name: str, stored: object) -> bool:
    """Whether it is an entry that names the collection and key it is stored under."""
    try:
        entry = _load(stored)
    except DeserializationError:
        return False
    if not entry.collection or not entry.key:
        return False
    # The second is how earlier versions named a collection that holds the separator.
    return name in (join_names(entry.collection, entry.key), f"{entry.collection}::{entry.key}")


def _next_collection(database: Database, start: str) -> tuple[str | None, str] | None:
    """The collection of the first live entry from `start`, and from where to look for the next one.

    None for the former when a whole page has no live entry, None in all when nothing is left.
    """
    past = None
    for name, stored in database.walk(start, None):
        names = split_names(name)
        if names is not None and _is_live(stored):
            return names[0], _end(collection_prefix(names[0]))
        past = name + "\0"
    return None if past is None else (None, past)


def _joined(collection: str, keys: Iterable[str]) -> list[str]:
    prefix = collection_prefix(collection)
    return [prefix + key for key in keys]


def _end(prefix: str) -> str:
    """Before which all names with the prefix come, and only names with it from the prefix on."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)
