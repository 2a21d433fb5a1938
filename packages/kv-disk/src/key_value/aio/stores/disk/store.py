"""DiskStore: all collections in one SQLite database."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from key_value.aio.core.directories import Durability, only_path
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.asynchronous import AsyncDatabase, ReaderWriterThreads
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import SQLiteDatabase
from key_value.aio.stores.disk.location import Imports, Location, Options, check_directory

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["DiskStore"]


class DiskStore(BaseDiskStore):
    """Entries in one SQLite database. Several processes may use it at once."""

    @warn_types
    def __init__(
        self,
        *,
        disk_cache: object | None = None,
        path: Path | str | None = None,
        directory: Path | str | None = None,
        max_size: int | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: Durability = "normal",
        timeout: float = 30.0,
    ) -> None:
        """Store the entries in the directory `path`. A missing directory is created unless `auto_create` is False.

        `max_size` limits the size of the database, in bytes, by evicting the least recently used entries. With
        `durability` "normal" an acknowledged write survives a crash of the process; with "full" also a power failure,
        because each write waits for the disk. `timeout` limits how long a write waits for other processes, in seconds.
        `directory` is an alias of `path`.

        Raises ValueError for invalid options and for `disk_cache`, an option of earlier versions; TypeError for a path,
        size or time limit of another type.
        """
        if disk_cache is not None:
            message = (
                "disk_cache is not supported: diskcache unpickles the data it reads. Pass path= and max_size=; "
                "entries that diskcache wrote to the directory are imported"
            )
            raise ValueError(message)
        super().__init__(
            only_path(**checked_paths(path=path, directory=directory)),
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._threads = ReaderWriterThreads()
        self._database = AsyncDatabase(
            Location(self._path, self._options, partial(_imports, self._path)), self._threads
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    async def _setup(self) -> None:
        await self._database.open()

    async def _probe(self) -> None:
        await self._database.write(_probe, self._path, self._options)

    async def _close(self) -> None:
        await self._threads.close()

    def _database_of(self, collection: str) -> AsyncDatabase:  # noqa: ARG002 — all collections share one
        return self._database

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._database.read(SQLiteDatabase.collections, limit)

    async def _delete_store(self) -> bool:
        await self._database.change(SQLiteDatabase.delete_everything)
        return True

    async def _cull(self) -> None:
        while await self._database.change(SQLiteDatabase.cull):
            pass


def _probe(database: SQLiteDatabase, path: Path, options: Options) -> None:
    check_directory(path, required=options.required)
    database.probe()


def _imports(path: Path) -> Imports:
    return {diskcache.FILE_NAME: diskcache.read_rows(path)} if (path / diskcache.FILE_NAME).exists() else {}
