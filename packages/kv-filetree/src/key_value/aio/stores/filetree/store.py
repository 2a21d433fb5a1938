"""FileTreeStore: one JSON file per entry."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from key_value.aio.core.directories import Durability, is_full, only_path, user_path
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.sanitization import PassthroughStrategy, SanitizationStrategy
from key_value.aio.core.type_checks import warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import BaseKeyValueError
from key_value.aio.stores.base import (
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseScanStore,
    BaseVersionedStore,
    Capabilities,
    KeyPage,
    ManagedEntry,
    VersionedEntry,
)
from key_value.aio.stores.filetree.catalog import Catalog
from key_value.aio.stores.filetree.directory import CAN_LOCK
from key_value.aio.stores.filetree.failures import translate_error
from key_value.aio.stores.filetree.names import (
    ENTRY_SUFFIX,
    INFO_SUFFIX,
    CustomNames,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
)
from key_value.aio.stores.filetree.pages import Listings
from key_value.aio.stores.filetree.tree import Page, Scan, Tree
from typing_extensions import TypeVarTuple, Unpack

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["FileTreeStore", "FileTreeV1CollectionSanitizationStrategy", "FileTreeV1KeySanitizationStrategy"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class FileTreeStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """One human-readable JSON file per entry, one directory per collection.

    Any number of processes may share the directory. Files are replaced atomically: readers see either the old value or
    the new one. Each operation and each batch is one call in the store's own thread.
    """

    scan_repeats = True  # replacing an entry can move it from the file name of an older naming scheme to a later one
    capabilities = Capabilities(durable=True, atomic_delete=True, conditional_writes=CAN_LOCK)

    @warn_types
    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        data_directory: str | os.PathLike[str] | None = None,
        metadata_directory: str | os.PathLike[str] | None = None,
        default_collection: str | None = None,
        serialization_adapter: object | None = None,
        key_sanitization_strategy: SanitizationStrategy | None = None,
        collection_sanitization_strategy: SanitizationStrategy | None = None,
        auto_create: bool = True,
        durability: Durability = "normal",
        fsync: bool = False,
        portable_names: bool = False,
    ) -> None:
        """Store each collection in a subdirectory of `path`, and its name in `metadata_directory` (default: `path`).

        Without a strategy, names are escaped where necessary: see docs/backends/filetree.md. `portable_names` escapes
        them so that the tree can be copied to any file system; on a file system that does not distinguish all names,
        this is always on. Missing directories, those of collections included, are created unless `auto_create` is
        False.

        With `durability` "normal" an acknowledged write survives a crash of the process; with "full" also a power
        failure, because each write waits for the disk. `data_directory` is an alias of `path`, and `fsync=True` of
        `durability="full"`.

        Raises ValueError for a path that is missing, is empty or contains NUL, and for an unknown durability;
        TypeError for a path of another type.
        """
        checked_paths(metadata_directory=metadata_directory)
        location = only_path(**checked_paths(path=path, data_directory=data_directory))
        if location is None:
            message = "FileTreeStore needs the path of a directory to store its entries in"
            raise ValueError(message)
        fsync = is_full(durability) or fsync
        data = _absolute(location, "path" if data_directory is None else "data_directory")
        metadata = data if metadata_directory is None else _absolute(metadata_directory, "metadata_directory")
        reserved = _reserved_names(data, metadata)
        keys = _custom_names(key_sanitization_strategy, ENTRY_SUFFIX)
        collections = _custom_names(collection_sanitization_strategy, INFO_SUFFIX, reserved)
        self._tree = tree = Tree(
            Catalog(data, metadata, auto_create=auto_create, fsync=fsync),
            keys=keys,
            collections=collections,
            reserved=reserved,
            portable=portable_names,
            fsync=fsync,
        )
        self._listings = Listings()
        self._worker: Worker[Tree] = Worker(lambda: tree, _keep_open)
        self._data = data
        super().__init__(
            serialization_adapter=serialization_adapter,
            key_sanitization_strategy=keys,
            collection_sanitization_strategy=collections,
            default_collection=default_collection,
        )

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"path": url.local_path}

    def __repr__(self) -> str:
        return f"FileTreeStore({str(self._data)!r})"

    async def _setup(self) -> None:
        await self._run(Tree.open)
        self.capabilities: Capabilities = replace(self.capabilities, conditional_writes=self._tree.can_be_locked)

    async def _probe(self) -> None:
        await self._run(Tree.probe)

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        return (await self._run(Tree.read, collection, (key,)))[0]

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await self._run(Tree.read, collection, keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._run(Tree.write, collection, (key,), (managed_entry,))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        await self._run(Tree.write, collection, keys, managed_entries)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return bool(await self._run(Tree.remove, collection, (key,)))

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._run(Tree.remove, collection, keys)

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        found = await self._run(Tree.read_versioned, collection, key)
        return None if found is None else VersionedEntry(found.entry, found.version)

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        return await self._run(Tree.write_if, collection, key, managed_entry, version)

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        return await self._run(Tree.remove_if, collection, key, version)

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        page = Page(collection, prefix, cursor, limit, self._listings)
        keys = await self._run_scan(self._tree.key_page(page))
        return KeyPage(keys, page.cursor)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._run_scan(self._tree.collections(), limit)

    async def _delete_store(self) -> bool:
        await self._run_scan(self._tree.destroy())
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return bool(await self._run_scan(self._tree.destroy_collection(collection)))

    async def _cull(self) -> None:
        await self._run_scan(self._tree.cull())

    async def _run_scan(self, scan: Scan, limit: int | None = None) -> list[str]:
        """Return the distinct results of the scan. Other operations may run in the thread between its steps."""
        found: dict[str, None] = {}
        last = False
        try:
            while not last and (limit is None or len(found) < limit):
                step, last = await self._run(Tree.advance, scan)
                found.update(dict.fromkeys(step))
        finally:
            if not last:
                await self._run(Tree.end, scan)
        return list(islice(found, limit))

    async def _run(self, function: Callable[[Tree, Unpack[Ts]], T], *args: Unpack[Ts]) -> T:
        try:
            return await self._worker.run(function, *args)
        except BaseKeyValueError:
            raise
        except OSError as exc:
            raise translate_error(exc, self._data) from exc


def _absolute(path: str | os.PathLike[str], parameter: str) -> Path:
    text = os.fspath(path)
    if not text or "\0" in text:
        message = f"{parameter} must be a non-empty path without NUL"
        raise ValueError(message)
    return user_path(text)


def _custom_names(strategy: SanitizationStrategy | None, *options: str) -> CustomNames | None:
    return None if strategy is None or isinstance(strategy, PassthroughStrategy) else CustomNames(strategy, *options)


def _reserved_names(data: Path, metadata: Path) -> str:
    """Return a regular expression that matches directory names which the tree reserves."""
    # The metadata of a collection `a` is in `a-info.json`, next to its directory.
    reserved = r"(?<=-info)[.](?=json\Z)"
    name = metadata.name
    if metadata.parent == data != metadata:
        reserved += rf"|(?i:\A{re.escape(name[0])}(?={re.escape(name[1:])}\Z))"
    return reserved


def _keep_open(_: Tree) -> None:
    """Do nothing: a tree keeps nothing open between calls."""
