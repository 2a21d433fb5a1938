"""MultiDiskStore: an SQLite database for each collection."""

from asyncio import gather
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

from key_value.aio.core.directories import Durability, only_path
from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.asynchronous import AsyncDatabase, Threads
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import FILE_NAME, Database, Row
from key_value.aio.stores.disk.location import Imports, Location, Options, check_directory

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["MultiDiskStore"]

# What Windows, macOS or Linux refuses, or reads as something else. Where it takes two names for one, the two
# collections share a database, in which they are different rows.
_DIRECTORY_NAMES = EscapingStrategy(
    r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.|[. ]$|^(?i:con|prn|aux|nul|com\d|lpt\d)(?=$|\.)', max_bytes=200
)

# A collection always has the same. With four, one that waits for another process holds up a quarter of the others.
_PAIRS_OF_THREADS = 4
_MOST_REMEMBERED = 1000

Old = dict[str, list[tuple[Path, str]]]


class MultiDiskStore(BaseDiskStore):
    """Entries in an SQLite database for each collection, each in a directory and with a maximum size of its own."""

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
        """Like DiskStore, with a `max_size` for each collection. `base_directory` is another name of `path`.

        Raises ValueError for invalid options, and for `disk_cache_factory` of earlier versions.
        """
        if disk_cache_factory is not None:
            message = (
                "disk_cache_factory is not supported: diskcache unpickles what it finds. Pass path= and "
                "max_size=; entries of directories that it wrote are found there"
            )
            raise ValueError(message)
        super().__init__(
            only_path(path=path, base_directory=base_directory),
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._threads = tuple(Threads() for _ in range(_PAIRS_OF_THREADS))
        self._old: Old = {}
        self._directory_named = _directories(self._path, self._options, self._threads, self._old)
        self._listing = Worker(lambda: None, lambda _: None)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    async def _setup(self) -> None:
        self._old.update(await self._listing.run(self._open_base))

    async def _probe(self) -> None:
        await self._listing.run(self._check_base)

    async def _close(self) -> None:
        await gather(*(threads.close() for threads in self._threads), self._listing.close())

    def _directory(self, collection: str) -> AsyncDatabase:
        return self._directory_named(_DIRECTORY_NAMES.sanitize(collection))

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        # Two directories hold the same collection where its name changes with the file system.
        names: dict[str, None] = {}
        for directory in await self._all():
            names.update(dict.fromkeys(await directory.read(Database.collections, limit)))
            if limit is not None and len(names) >= limit:
                break
        return list(islice(names, limit))

    async def _delete_store(self) -> bool:
        for directory in await self._all():
            await directory.change(Database.delete_everything)
        return True

    async def _cull(self) -> None:
        for directory in await self._all():
            while await directory.change(Database.cull):
                pass

    async def _all(self) -> list[AsyncDatabase]:
        """Every directory that holds a database or, so far, what an earlier version wrote."""
        names = await self._listing.run(self._database_names)
        return [self._directory_named(name) for name in dict.fromkeys([*names, *self._old])]

    # In the thread

    def _database_names(self, _: None) -> list[str]:
        return [path.parent.name for path in self._path.glob(f"*/{FILE_NAME}")]

    def _check_base(self, _: None) -> None:
        check_directory(self._path, required=self._options.required)

    def _open_base(self, _: None) -> Old:
        """Name of a directory → the directories of earlier versions with entries for it, and their collections.

        There two collections may share a directory, and what names it is not what was meant: the entries tell.
        """
        self._check_base(None)
        found: defaultdict[str, list[tuple[Path, str]]] = defaultdict(list)
        for file in self._path.glob(f"*/{diskcache.FILE_NAME}"):
            for collection in {row[0] for row in diskcache.read_rows(file.parent)}:
                found[_DIRECTORY_NAMES.sanitize(collection)].append((file.parent, collection))
        return dict(found)


def _directories(base: Path, options: Options, threads: Sequence[Threads], old: Old) -> Callable[[str], AsyncDatabase]:
    """A cached function from a name to its directory, which keeps the recorded uses of recent ones."""

    @lru_cache(_MOST_REMEMBERED)
    def directory_named(name: str) -> AsyncDatabase:
        location = Location(base / name, options, lambda: _imports(old.get(name, ())))
        return AsyncDatabase(location, threads[crc32(name.encode()) % len(threads)])

    return directory_named


def _imports(old: Sequence[tuple[Path, str]]) -> Imports:
    return {f"{path.name}/{collection}": _rows_of_collection(path, collection) for path, collection in old}


def _rows_of_collection(path: Path, collection: str) -> Iterator[Row]:
    return (row for row in diskcache.read_rows(path) if row[0] == collection)
