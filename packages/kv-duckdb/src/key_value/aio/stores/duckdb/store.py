"""DuckDBStore: one row per entry in a DuckDB table."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import load_object
from key_value.aio.core.directories import only_path, user_path
from key_value.aio.core.names import checked_table_name
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.type_checks import checked_text, warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    SEED_DATA_TYPE,
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
from key_value.aio.stores.duckdb.database import (
    DRIVER_ERRORS,
    BorrowedDatabase,
    Connection,
    DuckDatabase,
    OwnedDatabase,
)
from key_value.aio.stores.duckdb.entries import Entries

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["DuckDBStore"]

_FORMAT_VERSION = 1

_LARGE_LIMIT_KEYS = 1000
_PAGE_KEYS = 10_000


class DuckDBStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a table of a DuckDB database, in a file or in memory. Each operation and batch is one statement."""

    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        connection: Connection | None = None,
        path: Path | str | None = None,
        database_path: Path | str | None = None,
        table_name: str = "kv_entries",
        default_collection: str | None = None,
        seed: SEED_DATA_TYPE | None = None,
        auto_create: bool = True,
    ) -> None:
        """Create a store from a connection or the path of a file. By default the database is in memory.

        The store uses a cursor of `connection`; the caller may keep using the connection, and closes it. `path` may
        also be ":memory:". A missing table is created unless `auto_create` is False. `seed`, a mapping collection → key
        → value, is stored when the store is first opened. `database_path` is an alias of `path`.

        Raises ValueError for both a connection and a path, and for a table_name with other characters than letters,
        digits and underscores; TypeError for a path or table_name of another type.
        """
        location = only_path(**checked_paths(path=path, database_path=database_path))
        if connection is not None and location is not None:
            message = "pass a connection or a path, not both"
            raise ValueError(message)
        checked_table_name(checked_text(table_name, "table_name"))
        file = ":memory:" if location is None else str(location)
        if not file:
            message = "path must name a file, or be ':memory:' or None for a database in memory"
            raise ValueError(message)
        if not file.startswith(":memory:"):
            file = str(user_path(file))
        database: DuckDatabase = OwnedDatabase(file) if connection is None else BorrowedDatabase(connection)
        self._table = f"table {table_name!r} of the DuckDB database {database.where}"
        self._shown = f"DuckDBStore({database.where})"
        self.capabilities: Capabilities = Capabilities(
            durable=isinstance(database, OwnedDatabase) and not database.in_memory,
            atomic_put_many=True,
            atomic_delete=True,
            conditional_writes=True,
        )
        self._worker = Worker(lambda: Entries(database, table_name, create=auto_create), Entries.close)
        super().__init__(default_collection=default_collection, seed=seed)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        in_memory = url.url.partition("?")[0] == f"{url.scheme}://"
        return {} if in_memory else {"path": url.local_path}

    def __repr__(self) -> str:
        return self._shown

    async def _setup(self) -> None:
        await self._worker.run(Entries.check)

    async def _probe(self) -> None:
        await self._worker.run(Entries.check)

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        rows = await self._worker.run(Entries.run, "get", collection, key)
        return self._entry(collection, key, *rows[0]) if rows else None

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        rows = await self._worker.run(Entries.run, "get_many", collection, list(keys))
        found = {key: self._entry(collection, key, *row) for key, *row in rows}
        return [found.get(key) for key in keys]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        entry = managed_entry
        await self._worker.run(
            Entries.run, "put", collection, key, entry.value_as_json, entry.created_at, entry.expires_at
        )

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        values = [entry.value_as_json for entry in managed_entries]
        first = managed_entries[0]
        await self._worker.run(
            Entries.run, "put_many", collection, list(keys), values, first.created_at, first.expires_at
        )

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return _count_live(await self._worker.run(Entries.run, "delete", collection, key)) > 0

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return _count_live(await self._worker.run(Entries.run, "delete_many", collection, list(keys)))

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        rows = await self._worker.run(Entries.run, "get_versioned", collection, key)
        if not rows:
            return None
        *row, version = rows[0]
        return VersionedEntry(self._entry(collection, key, *row), version)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        entry = managed_entry
        row = entry.value_as_json, entry.created_at, entry.expires_at
        if version is None:
            put = self._worker.run(Entries.run, "put_if_absent", collection, key, *row, clock.now())
        else:
            put = self._worker.run(Entries.run, "put_if_version", *row, collection, key, version, clock.now())
        return bool(await put)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        return bool(await self._worker.run(Entries.run, "delete_if_version", collection, key, version, clock.now()))

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        # Each page scans the whole table, whatever its size: 100 ms for 10⁶ keys. Large limits are raised to pages of
        # up to 1 MB, to need few scans.
        size = limit if limit < _LARGE_LIMIT_KEYS else _PAGE_KEYS
        rows = await self._worker.run(Entries.run, "keys", collection, cursor or "", prefix, clock.now(), size)
        keys = [key for (key,) in rows]
        return KeyPage(keys, keys[-1] if len(keys) == size else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        rows = await self._worker.run(Entries.run, "collections", clock.now(), limit)
        return [collection for (collection,) in rows]

    async def _delete_store(self) -> bool:
        await self._worker.run(Entries.run, "destroy")
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        live = (await self._get_key_page(collection=collection, prefix="", cursor=None, limit=1)).keys
        await self._worker.run(Entries.run, "destroy_collection", collection)
        return bool(live)

    async def _cull(self) -> None:
        await self._worker.run(Entries.run, "cull", clock.now())

    def _entry(
        self, collection: str, key: str, value: str | None, version: int, expires_at: int | None
    ) -> ManagedEntry:
        what = f"the entry {key!r:.80} in collection {collection!r:.80} of {self._table}"
        if version != _FORMAT_VERSION:
            message = f"{what} has format version {version}; this library reads version {_FORMAT_VERSION}"
            raise DeserializationError(message)
        loaded = load_object(value or "", what)
        if expires_at is None:
            return ManagedEntry(value=loaded)
        try:
            return ManagedEntry(value=loaded, expires_at=clock.from_microseconds(expires_at))
        except OverflowError as exc:
            message = f"{what} has an expiry date out of range"
            raise DeserializationError(message) from exc


def _count_live(rows: list[tuple[int | None]]) -> int:
    """Count the expiry times, in microseconds since 1970, that are in the future; None never expires."""
    now = clock.microseconds_now()
    return sum(expires_at is None or expires_at > now for (expires_at,) in rows)
