"""FileTreeStore: a JSON file for each entry."""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from key_value.aio.core.directories import Durability, is_full, only_path, user_path
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
from key_value.aio.stores.filetree.failures import meaning_of
from key_value.aio.stores.filetree.names import (
    ENTRY_SUFFIX,
    INFO_SUFFIX,
    FileTreeV1CollectionSanitizationStrategy,
    FileTreeV1KeySanitizationStrategy,
    GivenNames,
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
    """A readable JSON file for each entry, a directory for each collection.

    Any number of processes may share the directory. A file is replaced as a whole: readers see the old value or the
    new one. Each operation and each batch is one call in a thread of the store's own.
    """

    scan_repeats = True  # an entry that is replaced can leave its place under an older naming for one further on
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
        """The directory `path` holds one for each collection, `metadata_directory` (None: the same) their names.

        Without a strategy, names are escaped where necessary: see docs/backends/filetree.md. With `portable_names` they
        are escaped so that the tree can be copied to any file system; on a file system that does not distinguish all
        names, they always are. `auto_create=False` creates no directory, not even for a collection.

        Once a put has returned, its entry survives the end of the process, and with durability "full" also a power
        cut. `data_directory` is another name of `path`, and `fsync=True` of "full".

        Raises ValueError without a path, for one that is empty or contains NUL, and for another durability.
        """
        location = only_path(path=path, data_directory=data_directory)
        if location is None:
            message = "FileTreeStore needs the path of a directory to keep its entries in"
            raise ValueError(message)
        fsync = is_full(durability) or fsync
        data = _absolute(location, "path" if data_directory is None else "data_directory")
        metadata = data if metadata_directory is None else _absolute(metadata_directory, "metadata_directory")
        used = _used_by_tree(data, metadata)
        keys = _given(key_sanitization_strategy, ENTRY_SUFFIX)
        collections = _given(collection_sanitization_strategy, INFO_SUFFIX, used)
        self._tree = tree = Tree(
            Catalog(data, metadata, auto_create=auto_create, fsync=fsync),
            keys=keys,
            collections=collections,
            used=used,
            portable=portable_names,
            fsync=fsync,
        )
        self._listings = Listings()
        self._worker: Worker[Tree] = Worker(lambda: tree, _keep)
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
        keys = await self._all_of(self._tree.key_page(page))
        return KeyPage(keys, page.cursor)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        return await self._all_of(self._tree.collections(), limit)

    async def _delete_store(self) -> bool:
        await self._all_of(self._tree.destroy())
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return bool(await self._all_of(self._tree.destroy_collection(collection)))

    async def _cull(self) -> None:
        await self._all_of(self._tree.cull())

    async def _all_of(self, scan: Scan, limit: int | None = None) -> list[str]:
        """The results of the scan, each once. Between its steps other operations run in the thread."""
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
            raise meaning_of(exc, self._data) from exc


def _absolute(path: str | os.PathLike[str], parameter: str) -> Path:
    text = os.fspath(path)
    if not text or "\0" in text:
        message = f"{parameter} must be a path that is not empty and holds no NUL"
        raise ValueError(message)
    return user_path(text)


def _given(strategy: SanitizationStrategy | None, *options: str) -> GivenNames | None:
    return None if strategy is None or isinstance(strategy, PassthroughStrategy) else GivenNames(strategy, *options)


def _used_by_tree(data: Path, metadata: Path) -> str:
    """A regular expression that finds something in names of directories that the tree has another use for."""
    # The information about a collection `a` lies in `a-info.json`, beside its directory.
    used = r"(?<=-info)[.](?=json\Z)"
    name = metadata.name
    if metadata.parent == data != metadata:
        used += rf"|(?i:\A{re.escape(name[0])}(?={re.escape(name[1:])}\Z))"
    return used


def _keep(_: Tree) -> None:
    """A tree has nothing open between two calls."""
