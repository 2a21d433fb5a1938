"""DiskStore: all collections in one SQLite database."""

from functools import partial
from pathlib import Path

from key_value.aio.core.type_checks import warn_types
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import Database
from key_value.aio.stores.disk.directory import Directory, Imports

__all__ = ["DiskStore"]


class DiskStore(BaseDiskStore):
    """Entries in an SQLite database in a directory, which several processes may use at once."""

    @warn_types
    def __init__(
        self,
        *,
        disk_cache: object | None = None,
        directory: Path | str | None = None,
        max_size: int | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: str = "normal",
        timeout: float = 30.0,
    ) -> None:
        """Keep the entries in `directory`, which is created at the first use unless `auto_create` is off.

        With a `max_size` in bytes the least recently used entries are evicted before the database is larger. With
        durability "normal" an acknowledged write survives the end of the process, however it ends; with "full" that
        of the machine too. `timeout` is the seconds for which a write waits for other processes.

        Raises ValueError for options that are not possible, and for `disk_cache`, which earlier versions took.
        """
        if disk_cache is not None:
            message = (
                "disk_cache is not supported: diskcache unpickles what it finds. Pass directory= and max_size=; "
                "entries of a directory that it wrote are found there"
            )
            raise ValueError(message)
        super().__init__(
            directory,
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._only = self._new_directory(self._path, partial(_imports, self._path), auto_create=auto_create)

    async def _setup(self) -> None:
        await self._only.open()

    async def _close(self) -> None:
        await self._only.close()

    def _directory(self, collection: str) -> Directory:  # noqa: ARG002 — the same for all
        return self._only

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._only.read(Database.collections, limit)

    async def _delete_store(self) -> bool:
        await self._only.write(Database.delete_everything)
        return True

    async def _cull(self) -> None:
        while await self._only.write(Database.cull):
            pass


def _imports(path: Path) -> Imports:
    return {diskcache.FILE_NAME: diskcache.read_rows(path)} if (path / diskcache.FILE_NAME).exists() else {}
