"""DiskStore: all collections in one SQLite database."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from key_value.aio.core.directories import Durability, only_path
from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.asynchronous import AsyncDatabase, Threads
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import Database
from key_value.aio.stores.disk.location import Imports, Location, Options, check_directory

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["DiskStore"]


class DiskStore(BaseDiskStore):
    """Entries in an SQLite database in a directory, which several processes may use at once."""

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
        """Store the entries in the directory `path`, which the first use creates unless `auto_create` is off.

        `max_size`, in bytes, limits the database by evicting the least recently used entries. With durability "normal"
        an acknowledged write survives any end of the process; with "full" also a failure of the machine. `timeout` is
        the time in seconds that a write waits for other processes. `directory` is another name of `path`.

        Raises ValueError for invalid options, and for `disk_cache` of earlier versions.
        """
        if disk_cache is not None:
            message = (
                "disk_cache is not supported: diskcache unpickles what it finds. Pass path= and max_size=; "
                "entries of a directory that it wrote are found there"
            )
            raise ValueError(message)
        super().__init__(
            only_path(path=path, directory=directory),
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._threads = Threads()
        self._only = AsyncDatabase(Location(self._path, self._options, partial(_imports, self._path)), self._threads)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    async def _setup(self) -> None:
        await self._only.open()

    async def _probe(self) -> None:
        await self._only.write(_probe, self._path, self._options)

    async def _close(self) -> None:
        await self._threads.close()

    def _directory(self, collection: str) -> AsyncDatabase:  # noqa: ARG002 — the same for all
        return self._only

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._only.read(Database.collections, limit)

    async def _delete_store(self) -> bool:
        await self._only.change(Database.delete_everything)
        return True

    async def _cull(self) -> None:
        while await self._only.change(Database.cull):
            pass


def _probe(database: Database, path: Path, options: Options) -> None:
    check_directory(path, required=options.required)
    database.probe()


def _imports(path: Path) -> Imports:
    return {diskcache.FILE_NAME: diskcache.read_rows(path)} if (path / diskcache.FILE_NAME).exists() else {}
