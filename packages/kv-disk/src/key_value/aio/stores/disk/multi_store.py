"""MultiDiskStore: an SQLite database for each collection."""

from asyncio import gather
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

from key_value.aio.core.sanitization import EscapingStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.stores.disk import diskcache
from key_value.aio.stores.disk.base import BaseDiskStore
from key_value.aio.stores.disk.database import FILE_NAME, Database, Row
from key_value.aio.stores.disk.directory import Directory, Imports, make_directory

__all__ = ["MultiDiskStore"]

# What Windows, macOS or Linux refuses, or reads as something else. Where it takes two names for one, the two
# collections share a database, in which they are different rows.
_DIRECTORY_NAMES = EscapingStrategy(
    r'[\x00-\x1f\x7f<>:"/\\|?*]|^\.|[. ]$|^(?i:con|prn|aux|nul|com\d|lpt\d)(?=$|\.)', max_bytes=200
)


class MultiDiskStore(BaseDiskStore):
    """Entries in an SQLite database for each collection, each in a directory of its own with its own maximal size."""

    @warn_types
    def __init__(
        self,
        *,
        disk_cache_factory: object | None = None,
        base_directory: Path | str | None = None,
        max_size: int | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        durability: str = "normal",
        timeout: float = 30.0,
    ) -> None:
        """As DiskStore, with a `max_size` for each collection.

        Raises ValueError for options that are not possible, and for `disk_cache_factory`, which earlier versions took.
        """
        if disk_cache_factory is not None:
            message = (
                "disk_cache_factory is not supported: diskcache unpickles what it finds. Pass base_directory= and "
                "max_size=; entries of directories that it wrote are found there"
            )
            raise ValueError(message)
        super().__init__(
            base_directory,
            max_size=max_size,
            default_collection=default_collection,
            auto_create=auto_create,
            durability=durability,
            timeout=timeout,
        )
        self._directories: dict[str, Directory] = {}
        self._old: dict[str, list[tuple[Path, str]]] = {}
        self._listing = Worker(lambda: None, lambda _: None)

    async def _setup(self) -> None:
        self._old = await self._listing.run(self._open_base)

    async def _close(self) -> None:
        directories = list(self._directories.values())
        self._directories = {}
        await gather(*(directory.close() for directory in directories), self._listing.close())

    def _directory(self, collection: str) -> Directory:
        return self._open_directory(_DIRECTORY_NAMES.sanitize(collection))

    def _open_directory(self, name: str) -> Directory:
        directory = self._directories.get(name)
        if directory is None:
            find_imports = partial(_imports, self._old.get(name, ()))
            directory = self._directories[name] = self._new_directory(self._path / name, find_imports, auto_create=True)
        return directory

    async def _setup_collection(self, *, collection: str) -> None:
        await self._directory(collection).open()

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
            await directory.write(Database.delete_everything)
        return True

    async def _cull(self) -> None:
        for directory in await self._all():
            while await directory.write(Database.cull):
                pass

    async def _all(self) -> list[Directory]:
        """Every directory that holds a database or, so far, what an earlier version wrote."""
        names = await self._listing.run(self._database_names)
        directories = [self._open_directory(name) for name in dict.fromkeys([*names, *self._old])]
        for directory in directories:
            await directory.open()
        return directories

    # In the thread

    def _database_names(self, _: None) -> list[str]:
        return [path.parent.name for path in self._path.glob(f"*/{FILE_NAME}")]

    def _open_base(self, _: None) -> dict[str, list[tuple[Path, str]]]:
        """Name of a directory → the directories of earlier versions with entries for it, and their collections.

        There two collections may share a directory, and what names it is not what was meant: the entries tell.
        """
        make_directory(self._path, auto_create=self._auto_create)
        found: defaultdict[str, list[tuple[Path, str]]] = defaultdict(list)
        for file in self._path.glob(f"*/{diskcache.FILE_NAME}"):
            for collection in {row[0] for row in diskcache.read_rows(file.parent)}:
                found[_DIRECTORY_NAMES.sanitize(collection)].append((file.parent, collection))
        return dict(found)


def _imports(old: Sequence[tuple[Path, str]]) -> Imports:
    return {f"{path.name}/{collection}": _rows_of_collection(path, collection) for path, collection in old}


def _rows_of_collection(path: Path, collection: str) -> Iterator[Row]:
    return (row for row in diskcache.read_rows(path) if row[0] == collection)
