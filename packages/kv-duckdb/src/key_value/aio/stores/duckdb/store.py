"""DuckDBStore: entries as rows of a table."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

from key_value.aio.core import clock
from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import load_object
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    SEED_DATA_TYPE,
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    ManagedEntry,
)
from key_value.aio.stores.duckdb.database import (
    DRIVER_ERRORS,
    Connection,
    Database,
    DatabaseOfConnection,
    DatabaseOfPath,
    Entries,
)

__all__ = ["DuckDBStore"]

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_VERSION = 1


class DuckDBStore(
    BaseEnumerateKeysStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
):
    """Entries in a table of a DuckDB database, in a file or in memory; one statement for each operation and batch."""

    driver_errors = DRIVER_ERRORS

    @warn_types
    def __init__(
        self,
        *,
        connection: Connection | None = None,
        database_path: Path | str | None = None,
        table_name: str = "kv_entries",
        default_collection: str | None = None,
        seed: SEED_DATA_TYPE | None = None,
        auto_create: bool = True,
    ) -> None:
        """Take a connection or the path of a file; without either, or with ":memory:", the database is in memory.

        The connection stays the caller's to use and to close: the store opens a cursor of it. The table is created
        where it is missing, unless `auto_create` is False. `seed`, collection → key → value, is stored when the store
        is first opened.

        Raises ValueError for both connection and database_path, and for a table_name that is not made of letters,
        digits and underscores.
        """
        if connection is not None and database_path is not None:
            message = "pass a connection or a database_path, not both"
            raise ValueError(message)
        if not _IDENTIFIER.fullmatch(table_name):
            message = (
                "table_name must be ASCII letters, digits and underscores and not begin with a digit, "
                f"not {table_name!r:.80}"
            )
            raise ValueError(message)
        path = ":memory:" if database_path is None else str(database_path)
        if not path:
            message = "database_path must name a file, or be ':memory:' or None for a database in memory"
            raise ValueError(message)
        database: Database = DatabaseOfPath(path) if connection is None else DatabaseOfConnection(connection)
        self._table = f"table {table_name!r} of the DuckDB database {database.where}"
        self._shown = f"DuckDBStore({database.where})"
        self.capabilities = Capabilities(
            durable=isinstance(database, DatabaseOfPath) and not database.in_memory, atomic_put_many=True
        )
        self._worker = Worker(lambda: Entries(database, table_name, create=auto_create), Entries.close)
        super().__init__(default_collection=default_collection, seed=seed)

    def __repr__(self) -> str:
        return self._shown

    async def _setup(self) -> None:
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
        return _live(await self._worker.run(Entries.run, "delete", collection, key)) > 0

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return _live(await self._worker.run(Entries.run, "delete_many", collection, list(keys)))

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        rows = await self._worker.run(Entries.run, "keys", collection, clock.now(), limit)
        return [key for (key,) in rows]

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        rows = await self._worker.run(Entries.run, "collections", clock.now(), limit)
        return [collection for (collection,) in rows]

    async def _delete_store(self) -> bool:
        await self._worker.run(Entries.run, "destroy")
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        held = await self._get_collection_keys(collection=collection, limit=1)
        await self._worker.run(Entries.run, "destroy_collection", collection)
        return bool(held)

    async def _cull(self) -> None:
        await self._worker.run(Entries.run, "cull", clock.now())

    def _entry(
        self, collection: str, key: str, value: str | None, version: int, expires_at: int | None
    ) -> ManagedEntry:
        what = f"the entry {key!r:.80} in collection {collection!r:.80} of {self._table}"
        if version != _VERSION:
            message = f"{what} has version {version}; this library reads version {_VERSION}"
            raise DeserializationError(message)
        loaded = load_object(value or "", what)
        if expires_at is None:
            return ManagedEntry(value=loaded)
        try:
            return ManagedEntry(value=loaded, expires_at=_EPOCH + expires_at * _MICROSECOND)
        except OverflowError as exc:
            message = f"{what} expires at a date that is none"
            raise DeserializationError(message) from exc


def _live(rows: list[tuple[int | None]]) -> int:
    """How many of the moments, in microseconds, are yet to come; None never does."""
    now = (clock.now() - _EPOCH) // _MICROSECOND
    return sum(expires_at is None or expires_at > now for (expires_at,) in rows)
