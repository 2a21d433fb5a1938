"""MultiDiskStore: one SQLite database per collection."""

from asyncio import gather
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from key_value.aio.core.directories import Durability, only_path
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.asynchronous import AsyncDatabase, ReaderWriterThreads
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import FILE_NAME, Row, SQLiteDatabase
from key_value.aio.stores.disk.location import Imports, Location, Options, check_directory

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["MultiDiskStore"]

# Escapes names that Windows, macOS or Linux rejects or changes. If a file system treats two names as equal, the two
# collections share a database, where they are different rows.
_DIRECTORY_NAMES = EscapingStrategy(
    r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.|[. ]$|^(?i:con|prn|aux|nul|com\d|lpt\d)(?=$|\.)', max_bytes=200
)

# Each collection always uses the same pair. A collection that waits for another process delays a quarter of the others.
_THREAD_PAIRS = 4
_MAX_CACHED_DATABASES = 1000

LegacyCollections = dict[str, list[tuple[Path, str]]]
"""Directory name → directories of earlier versions with entries for it, and their collections."""


class MultiDiskStore(BaseDiskStore):
    """Entries in one SQLite database per collection, each with its own directory and maximum size."""

    @warn_types
    def __init__(
        self,
        *,
        disk_cache_factory: object | None = None,
        path: Path | str | None = None,
        base_directory: Path | str | None = None,
        max_size: int | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: Durability = "normal",
        timeout: float = 30.0,
    ) -> None:
        """Like DiskStore, but `max_size` applies to each collection. `base_directory` is an alias of `path`.

        Raises ValueError for invalid options and for `disk_cache_factory`, an option of earlier versions; TypeError for
        a path, size or time limit of another type.
        """
        if disk_cache_factory is not None:
            message = (
                "disk_cache_factory is not supported: diskcache unpickles the data it reads. Pass path= and "
                "max_size=; entries that diskcache wrote to the directories are imported"
            )
            raise ValueError(message)
        super().__init__(
            only_path(**checked_paths(path=path, base_directory=base_directory)),
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._threads = tuple(ReaderWriterThreads() for _ in range(_THREAD_PAIRS))
        self._legacy: LegacyCollections = {}
        self._database_named = _database_cache(self._path, self._options, self._threads, self._legacy)
        self._file_worker = Worker(lambda: None, lambda _: None)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    async def _setup(self) -> None:
        self._legacy.update(await self._file_worker.run(self._find_legacy))

    async def _probe(self) -> None:
        await self._file_worker.run(self._check_base)

    async def _close(self) -> None:
        await gather(*(threads.close() for threads in self._threads), self._file_worker.close())

    def _database_of(self, collection: str) -> AsyncDatabase:
        return self._database_named(_DIRECTORY_NAMES.sanitize(collection))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        # A collection is in two directories if the file system changed the spelling of its name.
        names: dict[str, None] = {}
        for database in await self._databases():
            names.update(dict.fromkeys(await database.read(SQLiteDatabase.collections, limit)))
            if limit is not None and len(names) >= limit:
                break
        return list(islice(names, limit))

    async def _delete_store(self) -> bool:
        for database in await self._databases():
            await database.change(SQLiteDatabase.delete_everything)
        return True

    async def _cull(self) -> None:
        for database in await self._databases():
            while await database.change(SQLiteDatabase.cull):
                pass

    async def _databases(self) -> list[AsyncDatabase]:
        """Return every database, including those that so far have only data of earlier versions."""
        names = await self._file_worker.run(self._database_names)
        return [self._database_named(name) for name in dict.fromkeys([*names, *self._legacy])]

    # Called in the worker thread

    def _database_names(self, _: None) -> list[str]:
        return [path.parent.name for path in self._path.glob(f"*/{FILE_NAME}")]

    def _check_base(self, _: None) -> None:
        check_directory(self._path, required=self._options.required)

    def _find_legacy(self, _: None) -> LegacyCollections:
        """Check the base directory, and find the collections that earlier versions stored in it.

        Earlier versions could store two collections in one directory, so the names come from the entries.
        """
        self._check_base(None)
        found: defaultdict[str, list[tuple[Path, str]]] = defaultdict(list)
        for file in self._path.glob(f"*/{diskcache.FILE_NAME}"):
            for collection in {row[0] for row in diskcache.read_rows(file.parent)}:
                found[_DIRECTORY_NAMES.sanitize(collection)].append((file.parent, collection))
        return dict(found)


def _database_cache(
    base: Path, options: Options, threads: Sequence[ReaderWriterThreads], legacy: LegacyCollections
) -> Callable[[str], AsyncDatabase]:
    """Return a cached function from a directory name to its database, which keeps the pending uses of recent ones."""

    @lru_cache(_MAX_CACHED_DATABASES)
    def database_named(name: str) -> AsyncDatabase:
        location = Location(base / name, options, lambda: _imports(legacy.get(name, ())))
        return AsyncDatabase(location, threads[crc32(name.encode()) % len(threads)])

    return database_named


def _imports(legacy: Sequence[tuple[Path, str]]) -> Imports:
    return {f"{path.name}/{collection}": _collection_rows(path, collection) for path, collection in legacy}


def _collection_rows(path: Path, collection: str) -> Iterator[Row]:
    return (row for row in diskcache.read_rows(path) if row[0] == collection)
