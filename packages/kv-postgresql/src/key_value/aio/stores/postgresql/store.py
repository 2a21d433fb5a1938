"""PostgreSQLStore, which stores each entry as a row of one table."""

import asyncio
import logging
import random
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from ssl import SSLContext
from typing import TYPE_CHECKING, Any

from key_value.aio.core import clock
from key_value.aio.core.clients import check_client
from key_value.aio.core.lifecycle import PerLoop
from key_value.aio.core.names import end_of_prefix
from key_value.aio.core.numbers import checked_count, checked_timeout
from key_value.aio.core.type_checks import warn_types
from key_value.aio.errors import BaseKeyValueError, StoreConnectionError, StoreSetupError
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
from key_value.aio.stores.postgresql.connections import (
    CREATED_CONCURRENTLY,
    DRIVER_ERRORS,
    FORBIDDEN,
    OwnConnections,
    Pool,
    PoolConnections,
    Rows,
    Session,
)
from key_value.aio.stores.postgresql.location import describe, options_of_url
from key_value.aio.stores.postgresql.names import stored_collection, stored_key, stored_prefix
from key_value.aio.stores.postgresql.rows import (
    MAX_VALUE_BYTES,
    dump_times,
    dump_values,
    listed_name,
    load_row,
    load_rows,
)
from key_value.aio.stores.postgresql.table import Table, structure_error

if TYPE_CHECKING:
    from key_value.aio.core.urls import StoreURL

__all__ = ["PostgreSQLStore"]

_logger = logging.getLogger(__name__)

_MAX_PAGE_ENTRIES = 10_000
_ROWS_PER_STATEMENT = 1000
_VERSION = re.compile(r"[0-9]+\([0-9]+,[0-9]+\)", re.ASCII)

Password = str | Callable[[], str | Awaitable[str]]


class PostgreSQLStore(
    BaseScanStore,
    BaseEnumerateCollectionsStore,
    BaseDestroyStore,
    BaseDestroyCollectionStore,
    BaseCullStore,
    BaseVersionedStore,
):
    """Entries in a table of a PostgreSQL database. Each operation and batch is one statement."""

    driver_errors = DRIVER_ERRORS
    driver_reads_query = True
    capabilities: Capabilities = Capabilities(
        durable=True,
        max_value_bytes=MAX_VALUE_BYTES,
        atomic_put_many=True,
        atomic_delete=True,
        conditional_writes=True,
    )

    @warn_types
    def __init__(
        self,
        *,
        pool: Pool | None = None,
        url: str | None = None,
        host: str = "localhost",
        port: int = 5432,
        database: str = "postgres",
        user: str | None = None,
        password: Password | None = None,
        table_name: str | None = None,
        default_collection: str | None = None,
        auto_create: bool = True,
        auto_cull: float | None = None,
        ssl: bool | str | SSLContext | None = None,
        timeout: float | None = 5.0,
        max_connections: int = 10,
        max_idle: float | None = 300.0,
        statement_cache_size: int = 100,
    ) -> None:
        """Create a store from a pool, a URL, or the options of one server.

        `pool` is an asyncpg pool; the caller closes it, and it belongs to one event loop. `url` is parsed by asyncpg,
        with its query options. Without a pool, each event loop gets its own connections: at most `max_connections`,
        each closed after it was idle for `max_idle` seconds; further operations wait for a free one.

        A missing table is created unless `auto_create` is False. `auto_cull` is the interval in seconds at which
        expired entries are removed in the background while the event loop runs, None for no removal.

        `timeout` is the time limit of an operation in seconds, None for no limit; a batch gets `timeout` once more for
        each full thousand of its entries. `statement_cache_size` is the number of prepared statements cached per
        connection; pass 0 behind a pooler in transaction mode.

        Raises ValueError for a malformed URL, for both pool and url, for an invalid table_name, and for a limit that
        is not positive.
        """
        if pool is not None and url is not None:
            message = "pass a pool or a url, not both"
            raise ValueError(message)
        seconds = checked_timeout(timeout)
        checked_count(max_connections, "max_connections", least=1)
        checked_count(statement_cache_size, "statement_cache_size")
        self._table = Table("kv_store" if table_name is None else table_name)
        self._statements = self._table.statements
        self._auto_create = auto_create
        self._auto_cull = checked_timeout(auto_cull, "auto_cull")
        # Unknown until the table has been inspected.
        self._is_bytewise = False
        if pool is not None:
            check_client(pool, Pool, name="pool")
            self._location = "of the pool"
            self._connect: Callable[[], Session] = partial(PoolConnections, pool, seconds)
        else:
            credentials = {"user": user, "password": password}
            server_options: dict[str, Any] = {"host": host, "port": port, "database": database, **credentials}
            options = server_options if url is None else options_of_url(url, credentials)
            self._location = describe(options)
            options = {**options, "statement_cache_size": statement_cache_size, **({} if ssl is None else {"ssl": ssl})}
            self._connect = partial(
                OwnConnections, options, max_connections, seconds, checked_timeout(max_idle, "max_idle")
            )
        self._sessions = PerLoop(self._open_session, _close_session)
        super().__init__(default_collection=default_collection)

    @classmethod
    def _url_options(cls, url: "StoreURL") -> dict[str, Any]:
        return {"url": url.url}

    def __repr__(self) -> str:
        return f"PostgreSQLStore({self._location})"

    # Lifecycle

    async def _setup(self) -> None:
        columns = await self._inspect()
        if not columns:
            await self._create()
            columns = await self._inspect()
        reason = structure_error(columns) if columns else "was dropped right after it was created"
        if columns and columns[0]["encoding"] != "UTF8":
            reason = f"is in a database with encoding {columns[0]['encoding']}, which cannot store every string"
        if reason is not None:
            raise StoreSetupError(self._table_message(reason))
        # A prefix is an index range only in byte order.
        self._is_bytewise = next(column["is_bytewise"] for column in columns if column["name"] == "key")

    async def _probe(self) -> None:
        await self._setup()
        column = (await self._inspect())[0]
        if column["missing_rights"]:
            rights = ", ".join(column["missing_rights"])
            raise StoreSetupError(
                self._table_message(f"cannot be used: the user {column['user']} lacks {rights} on it")
            )
        if column["is_read_only"]:
            raise StoreConnectionError(
                self._table_message("cannot be written: the server is read-only, like a standby")
            )

    async def _close(self) -> None:
        await self._sessions.close()

    async def _inspect(self) -> Rows:
        return await self._sessions.get().fetch(self._table.inspect, self._table.quoted)

    async def _create(self) -> None:
        if not self._auto_create:
            raise StoreSetupError(self._table_message("does not exist; create it, or pass auto_create=True"))
        try:
            await self._sessions.get().run_script(self._table.create)
        except CREATED_CONCURRENTLY:
            # Another worker created it, in a transaction that has committed.
            return
        except FORBIDDEN as exc:
            reason = "does not exist, and this user has no right to create it: it needs CREATE and USAGE on the schema"
            raise StoreSetupError(self._table_message(reason)) from exc

    def _table_message(self, reason: str) -> str:
        return f"{self!r}: the table {self._table.name} {reason}"

    def _open_session(self) -> Session:
        session = self._connect()
        if self._auto_cull is not None:
            session.background = asyncio.ensure_future(self._cull_every(self._auto_cull, session))
        return session

    # Reading

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        names = stored_collection(collection), stored_key(key)
        rows = await self._sessions.get().fetch(self._statements["get"], *names)
        return load_row(*names, *rows[0]) if rows else None

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        stored, names = stored_collection(collection), list(map(stored_key, keys))
        rows = await self._sessions.get().fetch(self._statements["get_many"], stored, names, entries=len(keys))
        found = load_rows(stored, rows)
        return [found.get(name) for name in names]

    async def _get_versioned_entry(self, *, collection: str, key: str) -> VersionedEntry | None:
        names = stored_collection(collection), stored_key(key)
        rows = await self._sessions.get().fetch(self._statements["get_versioned"], *names)
        if not rows:
            return None
        value, expires_at, version = rows[0]
        return VersionedEntry(load_row(*names, value, expires_at), version)

    # Writing

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        await self._sessions.get().fetch(self._statements["put"], *_columns(collection, key, managed_entry))

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry]
    ) -> None:
        stored, names = stored_collection(collection), list(map(stored_key, keys))
        columns = stored, names, dump_values(stored, names, managed_entries), *dump_times(managed_entries[0])
        await self._sessions.get().fetch(self._statements["put_many"], *columns, entries=len(keys))

    async def _put_managed_entry_if_version(
        self, *, collection: str, key: str, managed_entry: ManagedEntry, version: str | None
    ) -> bool:
        row = _columns(collection, key, managed_entry)
        if version is None:
            return bool(await self._sessions.get().fetch(self._statements["put_if_absent"], *row))
        return bool(
            await self._sessions.get().fetch(self._statements["put_if_version"], *row, _checked_version(version))
        )

    # Removing

    async def _delete_managed_entry(self, *, collection: str, key: str) -> bool:
        names = stored_collection(collection), stored_key(key)
        return _count_live(await self._sessions.get().fetch(self._statements["delete"], *names, clock.now())) > 0

    async def _delete_managed_entries(self, *, collection: str, keys: Sequence[str]) -> int:
        names = stored_collection(collection), list(map(stored_key, keys))
        statement = self._statements["delete_many"]
        return _count_live(await self._sessions.get().fetch(statement, *names, clock.now(), entries=len(keys)))

    async def _delete_managed_entry_if_version(self, *, collection: str, key: str, version: str) -> bool:
        names = stored_collection(collection), stored_key(key)
        statement = self._statements["delete_if_version"]
        return bool(await self._sessions.get().fetch(statement, *names, _checked_version(version), clock.now()))

    async def _delete_store(self) -> bool:
        session, last = self._sessions.get(), ("", "")
        while rows := await session.fetch(self._statements["destroy"], *last, _ROWS_PER_STATEMENT):
            last = rows[0]
        return True

    async def _delete_collection(self, *, collection: str) -> bool:
        session, stored, last, held = self._sessions.get(), stored_collection(collection), "", False
        statement = self._statements["destroy_collection"]
        while last is not None:
            ((last, some),) = await session.fetch(statement, stored, last, _ROWS_PER_STATEMENT, clock.now())
            held = held or some
        return held

    async def _cull(self) -> None:
        await self._cull_on(self._sessions.get())

    async def _cull_on(self, session: Session) -> None:
        # In small batches, so that row locks are held briefly.
        while True:
            ((count,),) = await session.fetch(self._statements["cull"], clock.now(), _ROWS_PER_STATEMENT)
            if count < _ROWS_PER_STATEMENT:
                return

    async def _cull_every(self, seconds: float, session: Session) -> None:
        while True:
            # Random jitter spreads out workers that were started together.
            await asyncio.sleep(seconds * random.uniform(0.5, 1.5))  # noqa: S311 — not for secrets
            try:
                await self._translated(self._cull_on(session))
            except BaseKeyValueError as exc:
                _logger.warning("cannot remove expired entries: %s", exc)

    # Listing

    async def _get_key_page(self, *, collection: str, prefix: str, cursor: str | None, limit: int) -> KeyPage:
        if cursor is not None and "\0" in cursor:
            message = "the cursor was not returned by a scan of this store"
            raise ValueError(message)
        stored, start, size = stored_collection(collection), stored_prefix(prefix), min(limit, _MAX_PAGE_ENTRIES)
        end = end_of_prefix(start)
        name = ("keys_from" if end is None else "keys_between") if self._is_bytewise else "keys_starting"
        parameters = stored, cursor or "", start, clock.now(), size, *([end] if name == "keys_between" else ())
        rows = await self._sessions.get().fetch(self._statements[name], *parameters)
        keys = [listed_name(key, text, "key") for key, text in rows]
        return KeyPage(
            [key for key in keys if key.startswith(prefix)],
            rows[-1][0] if len(rows) == size else None,
        )

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        rows = await self._sessions.get().fetch(self._statements["collections"], clock.now(), limit)
        return [listed_name(name, text, "collection") for name, text in rows]


def _columns(collection: str, key: str, entry: ManagedEntry) -> tuple[Any, ...]:
    names = stored_collection(collection), stored_key(key)
    (value,) = dump_values(names[0], names[1:], [entry])
    return *names, value, *dump_times(entry)


def _checked_version(version: str) -> str:
    if not _VERSION.fullmatch(version):
        message = "the version was not returned by a store on PostgreSQL"
        raise ValueError(message)
    return version


def _count_live(rows: Rows) -> int:
    """Return how many of the removed entries had not expired."""
    return sum(is_live for (is_live,) in rows)


async def _close_session(session: Session) -> None:
    if session.background is not None:
        session.background.cancel()
    await session.close()
