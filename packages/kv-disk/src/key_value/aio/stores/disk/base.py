"""The shared base of DiskStore and MultiDiskStore: options, and the hooks on the database of a collection."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.clock import to_microseconds
from key_value.aio.core.codec import EncodedValue
from key_value.aio.core.directories import PathOption, is_full, user_path
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.core.numbers import checked_int, require_number
from key_value.aio.errors import ValueTooLargeError
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseScanStore,
    BaseVersionedStore,
    KeyPage,
    VersionedEntry,
)
from key_value.aio.stores.disk.asynchronous import AsyncDatabase
from key_value.aio.stores.disk.database import Row, SQLiteDatabase
from key_value.aio.stores.disk.location import Options

__all__ = ["BaseDiskStore"]

_MAX_VALUE_BYTES = 999_000_000  # SQLite limits a row to a billion bytes: https://sqlite.org/limits.html
_MIN_MAX_SIZE_BYTES = 96 * 1024
# SQLite takes milliseconds in a signed 32-bit integer. A larger timeout would overflow, and SQLite would not wait.
_MAX_TIMEOUT_SECONDS = 2_000_000
_EMPTY_DATABASE_BYTES = 48 * 1024  # an empty database, and some half-full pages


class BaseDiskStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    capabilities = Capabilities(
        durable=True,
        max_value_bytes=_MAX_VALUE_BYTES,
        atomic_put_many=True,
        atomic_delete=True,
        conditional_writes=True,
    )

    def __init__(
        self,
        path: PathOption,
        *,
        max_size: int | None,
        default_collection: str | None,
        auto_create: bool,
        durability: str,
        timeout: float,
    ) -> None:
        if path is None:
            message = f"{type(self).__name__} needs the path of a directory to store its entries in"
            raise ValueError(message)
        max_size = checked_int(max_size, "max_size")
        if max_size is not None and max_size < _MIN_MAX_SIZE_BYTES:
            message = f"max_size must be at least {_MIN_MAX_SIZE_BYTES} bytes or None, not {max_size}"
            raise ValueError(message)
        require_number(timeout, "timeout")
        if not timeout > 0:
            message = f"timeout must be above zero seconds, not {timeout}"
            raise ValueError(message)
        self._path = user_path(path)
        required = None if auto_create else self._path
        self._options = Options(
            max_size=max_size,
            full=is_full(durability),
            timeout=min(timeout, _MAX_TIMEOUT_SECONDS),
            required=required,
        )
        self._max_value_bytes = (
            _MAX_VALUE_BYTES if max_size is None else min(_MAX_VALUE_BYTES, max_size - _EMPTY_DATABASE_BYTES)
        )
        self.capabilities: Capabilities = replace(self.capabilities, max_value_bytes=self._max_value_bytes)
        super().__init__(default_collection=default_collection)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    @abstractmethod
    def _database_of(self, collection: str) -> AsyncDatabase:
        """Return the database of the collection."""

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        database = self._database_of(collection)
        found = await database.read(SQLiteDatabase.find, collection, key)
        return None if found is None else database.entry(found)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        database = self._database_of(collection)
        found = await database.read(SQLiteDatabase.find_each, collection, keys)
        return [None if row is None else database.entry(row) for row in found]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        rows = self._rows(collection, [key], [managed_entry])
        await self._database_of(collection).write(SQLiteDatabase.put, rows)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        rows = self._rows(collection, keys, managed_entries)
        await self._database_of(collection).write(SQLiteDatabase.put, rows)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._database_of(collection).change(SQLiteDatabase.delete, collection, [key]))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._database_of(collection).change(SQLiteDatabase.delete, collection, keys)

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        database = self._database_of(collection)
        found = await database.read(SQLiteDatabase.find_versioned, collection, key)
        return None if found is None else VersionedEntry(database.entry(found[0]), found[1])

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        (row,) = self._rows(collection, [key], [managed_entry])
        database = self._database_of(collection)
        return await (database.write if version is None else database.change)(SQLiteDatabase.put_if, row, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        return await self._database_of(collection).change(SQLiteDatabase.delete_if, collection, key, version)

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        keys = await self._database_of(collection).read(SQLiteDatabase.keys, collection, prefix, cursor or "", limit)
        return KeyPage(keys, keys[-1] if len(keys) == limit else None)

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._database_of(collection).change(SQLiteDatabase.delete_collection, collection)

    def _rows(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> list[Row]:
        created_at, expires_at = to_microseconds(entries[0].created_at), to_microseconds(entries[0].expires_at)
        rows: list[Row] = []
        for key, entry in zip(keys, entries, strict=True):
            encoded = entry.encoded
            # A character takes at most four bytes.
            if len(encoded) > self._max_value_bytes // 4 and (size := _encoded_size(encoded)) > self._max_value_bytes:
                raise ValueTooLargeError(size, self._max_value_bytes, collection, key)
            rows.append((collection, key, created_at, expires_at, encoded))
        return rows


def _encoded_size(encoded: EncodedValue) -> int:
    return len(encoded if isinstance(encoded, bytes) else encoded.encode())
