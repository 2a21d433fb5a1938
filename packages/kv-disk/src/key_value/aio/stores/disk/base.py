"""What DiskStore and MultiDiskStore share: options, and the hooks over the directory in which a collection is kept."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import EncodedValue
from key_value.aio.core.entry import ManagedEntry
from key_value.aio.errors import ValueTooLargeError
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
)
from key_value.aio.stores.disk.database import Database, Row, to_microseconds
from key_value.aio.stores.disk.directory import Directory, Imports

__all__ = ["BaseDiskStore"]

_LARGEST = 999_000_000  # SQLite's rows end at a billion bytes: https://sqlite.org/limits.html
_LEAST_MAX_SIZE = 96 * 1024
_EMPTY_SIZE = 48 * 1024  # of a database without entries, and some pages that are half full


class BaseDiskStore(
    BaseEnumerateKeysStore, BaseEnumerateCollectionsStore, BaseDestroyStore, BaseDestroyCollectionStore, BaseCullStore
):
    capabilities = Capabilities(durable=True, max_value_bytes=_LARGEST, atomic_put_many=True)

    def __init__(
        self,
        directory: Path | str | None,
        *,
        max_size: int | None,
        default_collection: str | None,
        auto_create: bool,
        durability: str,
        timeout: float,
    ) -> None:
        if directory is None:
            message = f"{type(self).__name__} needs a directory to keep its entries in"
            raise ValueError(message)
        if max_size is not None and max_size < _LEAST_MAX_SIZE:
            message = f"max_size must be at least {_LEAST_MAX_SIZE} bytes or None, not {max_size}"
            raise ValueError(message)
        if durability not in {"normal", "full"}:
            message = f'durability must be "normal" or "full", not {durability!r}'
            raise ValueError(message)
        if not timeout > 0:
            message = f"timeout must be above zero seconds, not {timeout}"
            raise ValueError(message)
        # Absolute: a later chdir does not move the store.
        self._path = Path(directory).expanduser().absolute()
        self._max_size = max_size
        self._auto_create = auto_create
        self._full = durability == "full"
        self._timeout = timeout
        self._largest = _LARGEST if max_size is None else min(_LARGEST, max_size - _EMPTY_SIZE)
        self.capabilities = replace(self.capabilities, max_value_bytes=self._largest)
        super().__init__(default_collection=default_collection)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self._path)!r})"

    @abstractmethod
    def _directory(self, collection: str) -> Directory:
        """Where the collection is kept."""

    def _new_directory(self, path: Path, find_imports: Callable[[], Imports], *, auto_create: bool) -> Directory:
        return Directory(
            path,
            max_size=self._max_size,
            auto_create=auto_create,
            full=self._full,
            timeout=self._timeout,
            find_imports=find_imports,
        )

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        directory = self._directory(collection)
        found = await directory.read(Database.find, collection, key)
        return None if found is None else directory.entry(found)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        directory = self._directory(collection)
        found = await directory.read(Database.find_each, collection, keys)
        return [None if row is None else directory.entry(row) for row in found]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        rows = self._rows(collection, [key], [managed_entry])
        await self._directory(collection).write(Database.put, rows)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        rows = self._rows(collection, keys, managed_entries)
        await self._directory(collection).write(Database.put, rows)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._directory(collection).write(Database.delete, collection, [key]))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._directory(collection).write(Database.delete, collection, keys)

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        return await self._directory(collection).read(Database.keys, collection, limit)

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._directory(collection).write(Database.delete_collection, collection)

    def _rows(self, collection: str, keys: Sequence[str], entries: Sequence[ManagedEntry]) -> list[Row]:
        created_at, expires_at = to_microseconds(entries[0].created_at), to_microseconds(entries[0].expires_at)
        rows: list[Row] = []
        for key, entry in zip(keys, entries, strict=True):
            encoded = entry.encoded
            # A character is at most four bytes.
            if len(encoded) > self._largest // 4 and (size := _bytes(encoded)) > self._largest:
                raise ValueTooLargeError(size, self._largest, collection, key)
            rows.append((collection, key, created_at, expires_at, encoded))
        return rows


def _bytes(encoded: EncodedValue) -> int:
    return len(encoded if isinstance(encoded, bytes) else encoded.encode())
