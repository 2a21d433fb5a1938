"""ChDBStore: one row per entry in a table of an in-process ClickHouse."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from key_value.aio.core.capabilities import Capabilities
from key_value.aio.core.codec import load_object
from key_value.aio.core.directories import only_path, user_path
from key_value.aio.core.envelope import load_moment
from key_value.aio.core.names import checked_table_name
from key_value.aio.core.numbers import checked_paths
from key_value.aio.core.type_checks import checked_text, warn_types
from key_value.aio.core.worker import Worker
from key_value.aio.errors import DeserializationError
from key_value.aio.stores.base import (
    SEED_DATA_TYPE,
    BaseCullStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
    BaseEnumerateCollectionsStore,
    BaseScanStore,
    BaseVersionedStore,
    KeyPage,
    ManagedEntry,
    VersionedEntry,
)
from key_value.aio.stores.chdb.engine import IN_MEMORY, Engine, EngineInMemory, EngineOfPath, Session, engine_of
from key_value.aio.stores.chdb.entries import Entries
from key_value.aio.stores.chdb.rows import Row
from key_value.aio.stores.chdb.together import make_together

if TYPE_CHECKING:
    from datetime import datetime

    from key_value.aio.core.urls import StoreURL

__all__ = ["ChDBStore"]

_FORMAT_VERSION = 1

# A page of 1000 keys takes 8 ms, one of 10 000 keys 20 ms.
_MAX_PAGE_KEYS = 10_000
_NO_LIMIT = 2**63


class ChDBStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a table of chDB, an in-process ClickHouse. Each operation and batch is one statement."""

    @warn_types
    def __init__(
        self,
        *,
        session: Session | None = None,
        path: Path | str | None = None,
        database_path: Path | str | None = None,
        table_name: str = "kv_entries",
        default_collection: str | None = None,
        seed: SEED_DATA_TYPE | None = None,
        auto_create: bool = True,
    ) -> None:
        """Create a store from a chDB session or the path of a directory. By default `close()` drops the database.

        The store opens its own session in the current database of `session`; the caller may keep using `session`, and
        closes it. A process can have only one directory open at a time. A missing table is created unless `auto_create`
        is False. `seed`, a mapping collection → key → value, is stored when the store is first opened. `database_path`
        is an alias of `path`.

        Raises ValueError for both a session and a path, for a path with a question mark, and for a table_name with
        other characters than letters, digits and underscores; StoreSetupError for a session that has been closed;
        TypeError for a session, path or table_name of another type.
        """
        location = only_path(**checked_paths(path=path, database_path=database_path))
        if session is not None and location is not None:
            message = "pass a session or a path, not both"
            raise ValueError(message)
        checked_table_name(checked_text(table_name, "table_name"))
        engine: Engine
        if session is not None:
            engine = engine_of(session)
        elif location is None or str(location) == IN_MEMORY:
            engine = EngineInMemory()
        else:
            engine = EngineOfPath(_directory(location))
        self._table = f"table {table_name!r} of the chDB database {engine.where}"
        self._shown = f"ChDBStore({engine.where})"
        self.capabilities: Capabilities = Capabilities(
            durable=engine.durable, atomic_put_many=True, atomic_delete=True, conditional_writes=True
        )
        self._worker = Worker(lambda: Entries(engine, table_name, create=auto_create), Entries.close, make_together)
        super().__init__(default_collection=default_collection, seed=seed)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        in_memory = url.url.partition("?")[0] == f"{url.scheme}://"
        return {} if in_memory else {"path": url.local_path}

    def __repr__(self) -> str:
        return self._shown

    async def _setup(self) -> None:
        await self._worker.run(Entries.check)

    async def _probe(self) -> None:
        await self._worker.run(Entries.check)

    async def _close(self) -> None:
        await self._worker.close()

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        rows = await self._worker.run(Entries.get, collection, key)
        return self._entry(collection, key, *rows[0]) if rows else None

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        rows = await self._worker.run(Entries.select, "get_many", {"collection": collection, "keys": list(keys)})
        stored = {row[0]: row[1:] for row in rows}
        found = [(key, stored.get(key.encode())) for key in keys]
        return [None if row is None else self._entry(collection, key, *row) for key, row in found]

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._put_managed_entries(collection=collection, keys=[key], managed_entries=[managed_entry])

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        first = managed_entries[0]
        times = _text(first.created_at).encode(), _text(first.expires_at).encode()
        name = collection.encode()
        rows = [
            (name, key.encode(), encoded if isinstance(encoded, bytes) else encoded.encode(), *times)
            for key, encoded in zip(keys, [entry.encoded for entry in managed_entries], strict=True)
        ]
        await self._worker.run(Entries.put, rows)

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        return await self._worker.run(Entries.write, "delete", {"collection": collection, "key": key}) > 0

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        return await self._worker.run(Entries.write, "delete_many", {"collection": collection, "keys": list(keys)})

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        rows = await self._worker.run(Entries.select, "get_versioned", {"collection": collection, "key": key})
        if not rows:
            return None
        *row, version = rows[0]
        return VersionedEntry(self._entry(collection, key, *row), version.decode())

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        entry = managed_entry
        row = {
            "collection": collection,
            "key": key,
            "value": entry.value_as_json,
            "created_at": _text(entry.created_at),
            "expires_at": _text(entry.expires_at),
        }
        if version is None:
            return await self._worker.run(Entries.write, "put_if_absent", row) > 0
        return await self._worker.run(Entries.write, "put_if_version", {**row, "digest": version}) > 0

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        row = {"collection": collection, "key": key, "digest": version}
        return await self._worker.run(Entries.write, "delete_if_version", row) > 0

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        size = min(limit, _MAX_PAGE_KEYS)
        parameters = {"collection": collection, "after": cursor or "", "prefix": prefix, "limit": size}
        keys = self._decoded(await self._worker.run(Entries.select, "keys", parameters))
        return KeyPage(keys, keys[-1] if len(keys) == size else None)

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        parameters = {"limit": _NO_LIMIT if limit is None else limit}
        return self._decoded(await self._worker.run(Entries.select, "collections", parameters))

    async def _delete_store(self) -> bool:
        await self._worker.run(Entries.destroy)
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._worker.run(Entries.destroy_collection, collection) > 0

    async def _cull(self) -> None:
        await self._worker.run(Entries.cull)

    def _decoded(self, rows: list[Row]) -> list[str]:
        try:
            return [name.decode() for (name,) in rows]
        except UnicodeDecodeError as exc:
            message = f"{self._table} contains the name {exc.object!r:.80}, which is not UTF-8"
            raise DeserializationError(message) from exc

    def _entry(self, collection: str, key: str, value: bytes, version: int, expires_at: bytes) -> ManagedEntry:
        what = f"the entry {key!r:.80} in collection {collection!r:.80} of {self._table}"
        if version != _FORMAT_VERSION:
            message = f"{what} has format version {version}; this library reads version {_FORMAT_VERSION}"
            raise DeserializationError(message)
        loaded = load_object(value, what)
        if not expires_at:
            return ManagedEntry(value=loaded)
        try:
            return ManagedEntry(value=loaded, expires_at=load_moment(expires_at.decode(errors="replace")))
        except DeserializationError as exc:
            message = f"{what} has an expires_at that is not a date and time"
            raise DeserializationError(message) from exc


def _directory(location: Any) -> str:
    """Return the absolute path of the directory. Raises ValueError for a path that chDB would misread."""
    if not str(location):
        message = "path must name a directory, or be ':memory:' or None for a database in memory"
        raise ValueError(message)
    directory = str(user_path(location))
    if "?" in directory:
        message = "path must not contain a question mark: chDB reads the text after it as options"
        raise ValueError(message)
    if "\0" in directory or not _is_utf8(directory):
        message = "path must be UTF-8 without NUL for chDB"
        raise ValueError(message)
    return directory


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(moment: "datetime | None") -> str:
    return "" if moment is None else moment.isoformat()
