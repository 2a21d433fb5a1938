"""The table of entries, through a session."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from key_value.aio.core import clock
from key_value.aio.core.driver_errors import DriverErrors, reraise
from key_value.aio.core.forks import new_lock
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.chdb.engine import Engine, Session, meaning_of, name_of, quoted
from key_value.aio.stores.chdb.rows import Row, array_parameter, dump_row, load_rows, text_parameter
from key_value.aio.stores.chdb.statements import COLUMNS, STATEMENTS, statement_on

__all__ = ["Entries", "Parameters"]

T = TypeVar("T")

Parameters = Mapping[str, str | int | Sequence[str]]

_ENGINE = "ReplacingMergeTree(inserted_at)"
_SHAPE = "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
_ORDER = (
    "SELECT engine_full, sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}"
)
_ERRORS: DriverErrors = {RuntimeError: meaning_of}
_FORMAT = "RowBinary"

_SECONDS_OF_STANDSTILL = 10.0
_LONGEST_PAUSE = 0.1

# One for all stores: chDB has no transactions, and a process has one engine, whose directory no other process can use.
_writing = new_lock()


class _Stamps:
    """The moments of this process's writes, in nanoseconds since 1970. They never go back, as the clock may."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


_stamps = _Stamps()


class Entries:
    """The table of entries, through a session of its own or the caller's. One thread uses it."""

    def __init__(self, engine: Engine, table: str, *, create: bool) -> None:
        """Raises StoreSetupError if the database cannot be opened or the table does not fit."""
        self._engine = engine
        self._where = f"the chDB database {engine.where}"
        self._table = table
        self._create = create
        self._open()

    def check(self) -> None:
        """Raise the errors of `select` if the table cannot be read."""
        self.get("", "")

    def select(self, name: str, parameters: Parameters) -> list[Row]:
        """The rows that a statement gives."""
        given = {"now": clock.now().isoformat(), **parameters}
        return load_rows(self._query(self._statements[name], given).bytes(), STATEMENTS[name].columns)

    def write(self, name: str, parameters: Parameters) -> int:
        """How many rows a statement has added, at a moment after those with the same names."""
        with _writing:
            stamp = self._stamp(parameters)
            given = {"now": clock.now().isoformat(), "stamp": stamp, **parameters}
            written = int(self._query(self._statements[name], given).rows_written())
            if written and "value" in parameters:
                self._check_written(str(parameters["collection"]), str(parameters["key"]), stamp)
            return written

    def get(self, collection: str, key: str) -> list[Row]:
        """The row of an entry, or nothing: value, version and when it expires."""
        return self.select("get", {"collection": collection, "key": key})

    def get_together(self, names: Sequence[tuple[str, str]]) -> list[list[Row]]:
        """What `get` gives for each of the names, which are of one collection."""
        keys = list(dict.fromkeys(key for _, key in names))
        rows = self.select("get_many", {"collection": names[0][0], "keys": keys})
        found = {row[0]: [row[1:]] for row in rows}
        return [found.get(key.encode(), []) for _, key in names]

    def put(self, *batches: Sequence[tuple[bytes, ...]]) -> None:
        """Add rows of one collection, each without version and `inserted_at`: all of them or none.

        Of rows with the same names in several batches, the one in the last batch counts.
        """

        def insert(session: Session) -> None:
            with session.send_insert(self._statements["put"], _FORMAT) as inserter:
                inserter.append(b"".join(encoded))
                inserter.finish()

        collection = batches[0][0][0].decode()
        stamp, latest = 0, (b"", 0)
        encoded: list[bytes] = []
        with _writing:
            for rows in batches:
                keys = [row[1] for row in rows]
                stamp = max(stamp + 1, self._stamp({"collection": collection, "keys": [key.decode() for key in keys]}))
                encoded += [dump_row(row, 1, stamp) for row in rows]
                latest = max(latest, (max(keys), stamp))
            self._made(insert)
            self._check_written(collection, latest[0].decode(), latest[1])

    def _check_written(self, collection: str, key: str, stamp: int) -> None:
        """Raise KeyValueStoreError unless the last row of a part is there: chDB 4.4 tells no error at an insert's end.

        A full disk is such an error. A later row of the same names has replaced this one.
        """
        try:
            if self.select("written", {"collection": collection, "key": key, "stamp": stamp}):
                return
        except KeyValueStoreError:
            # Nothing in a file that was cut off can be read, until ClickHouse sets it aside when it opens the table.
            if self._engine.durable and not self._broken:
                self._close_until_used()
            raise
        ((name,),) = self.select("latest error", {})
        kind, reason = meaning_of(RuntimeError(f"({name.decode()})"))
        message = f"{self._where} did not store what was written: {reason}"
        raise kind(message)

    def _stamp(self, names: Parameters) -> int:
        stamp = _stamps.next()
        if stamp > self._latest:
            return stamp
        # The clock has gone back since another process wrote.
        if "key" in names:
            names = {**names, "keys": [str(names["key"])]}
        ((latest,),) = self.select("latest among" if "keys" in names else "latest in collection", names)
        return max(stamp, int(latest) + 1)

    def destroy_collection(self, collection: str) -> int:
        """How many live entries the collection had. A reader that comes in between finds none."""
        with _writing:
            count = self.write("delete_collection", {"collection": collection})
            self.cull()
        return count

    def destroy(self) -> None:
        """Empty the table."""
        with _writing:
            self._query(self._statements["destroy"], {})

    def cull(self) -> None:
        """Remove expired rows, and those below them, from the files."""
        with _writing:
            given = {"now": clock.now().isoformat(), "stamp": _stamps.next()}
            for kind in ("hidden", "expired"):
                if self.select(f"has {kind}", given):
                    self._query(self._statements[f"remove {kind}"], given)
                    self._wait_for_removal()

    def _wait_for_removal(self) -> None:
        """Raise KeyValueStoreError if it comes to a stop, as on a full disk, where ClickHouse waits without end."""
        before, since, pause = "", time.monotonic(), 0.001
        while rows := self.select("removal", self._names):
            ((left,),) = rows
            if left != before:
                before, since = left, time.monotonic()
            elif time.monotonic() > since + _SECONDS_OF_STANDSTILL:
                self._query(self._statements["give up removal"], self._names)
                message = f"{self._where} does not get on with removing rows; the disk may be full"
                raise KeyValueStoreError(message)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def close(self) -> None:
        self._engine.disconnect(self._session)

    def _query(self, sql: str, parameters: Parameters) -> Any:
        texts = {name: _parameter(value) for name, value in parameters.items()}
        return self._made(lambda session: session.query(sql, _FORMAT, params=texts))

    def _made(self, call: Callable[[Session], T]) -> T:
        if self._broken:
            self._open()
        try:
            result = call(self._session)
        except RuntimeError as exc:
            self._confirm()
            reraise(exc, _ERRORS, self._where)
        self._confirm()
        return result

    def _confirm(self) -> None:
        if not self._engine.confirm():
            self._close_until_used()
            message = (
                f"the directory of {self._where} has been removed while it was open, with all that it held; "
                "the next call opens it anew"
            )
            raise StoreConnectionError(message)

    def _open(self) -> None:
        self._session = self._engine.connect()
        self._broken = False
        try:
            self._prepare()
        except BaseException:
            self._close_until_used()
            raise

    def _close_until_used(self) -> None:
        self.close()
        self._broken = True

    def _prepare(self) -> None:
        """Find or create the table, in what is now the current database of the session."""
        ((database,),) = load_rows(self._query("SELECT currentDatabase()", {}).bytes(), "s")
        self._names = {"database": database.decode(), "table": self._table}
        table = f"{quoted(self._names['database'])}.{quoted(self._table)}"
        self._statements = {name: statement_on(table, name) for name in STATEMENTS}
        if self._create:
            try:
                self._session.query(self._statements["create"], _FORMAT, params={})
            except RuntimeError as exc:
                self._refuse(f"cannot be created: {name_of(str(exc))}", exc)
        self._check_shape()
        ((latest,),) = self.select("latest", {})
        self._latest = int(latest)

    def _check_shape(self) -> None:
        columns = dict(load_rows(self._query(_SHAPE, self._names).bytes(), "ss"))
        if not columns:
            self._refuse("does not exist; create it, or pass auto_create=True")
        found = {name.decode(): kind.decode() for name, kind in columns.items()}
        ((engine, order),) = load_rows(self._query(_ORDER, self._names).bytes(), "ss")
        if (
            {name: found.get(name) for name in COLUMNS} != COLUMNS
            or not engine.decode().startswith(f"{_ENGINE} ")
            or {*order.decode().split(", ")} != {"collection", "key"}
        ):
            self._refuse(
                f"is not a table of entries: it must have the columns {COLUMNS}, the engine {_ENGINE} and the order "
                "(collection, key); pass another table_name"
            )

    def _refuse(self, why: str, cause: BaseException | None = None) -> NoReturn:
        message = f"table {self._table!r} of {self._where} {why}"
        raise StoreSetupError(message) from cause


def _parameter(value: str | int | Sequence[str]) -> str:
    if isinstance(value, int):
        return str(value)
    return text_parameter(value) if isinstance(value, str) else array_parameter(value)
