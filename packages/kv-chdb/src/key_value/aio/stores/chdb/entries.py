"""Operations on the table of entries."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from key_value.aio.core import clock
from key_value.aio.core.driver_errors import DriverErrors, reraise
from key_value.aio.core.forks import new_lock
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError
from key_value.aio.stores.chdb.engine import Engine, Session, error_name, quoted, translate_error
from key_value.aio.stores.chdb.rows import Row, array_parameter, dump_row, load_rows, text_parameter
from key_value.aio.stores.chdb.statements import COLUMNS, STATEMENTS, statement_on

__all__ = ["Entries", "Parameters"]

T = TypeVar("T")

Parameters = Mapping[str, str | int | Sequence[str]]

_ENGINE = "ReplacingMergeTree(inserted_at)"
_COLUMNS_QUERY = "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}"
_TABLE_QUERY = (
    "SELECT engine_full, sorting_key FROM system.tables WHERE database = {database:String} AND name = {table:String}"
)
_ERRORS: DriverErrors = {RuntimeError: translate_error}
_FORMAT = "RowBinary"

_STALL_TIMEOUT_SECONDS = 10.0
_MAX_POLL_SECONDS = 0.1

# Shared by all stores: chDB has no transactions, and only the one engine of this process can use its directory.
_write_lock = new_lock()


class _Timestamps:
    """Strictly increasing timestamps in nanoseconds since 1970, even if the clock goes back."""

    def __init__(self) -> None:
        self._last = 0

    def next(self) -> int:
        self._last = max(time.time_ns(), self._last + 1)
        return self._last


_timestamps = _Timestamps()


class Entries:
    """The table of entries, accessed through its own session from one thread."""

    def __init__(self, engine: Engine, table: str, *, create: bool) -> None:
        """Open the database. Raises StoreSetupError if that fails or the table has another schema."""
        self._engine = engine
        self._where = f"the chDB database {engine.where}"
        self._table = table
        self._create = create
        self._open()

    def check(self) -> None:
        """Read from the table. Raises the errors of `select`."""
        self.get("", "")

    def select(self, name: str, parameters: Parameters) -> list[Row]:
        """Run a SELECT statement and return its rows."""
        given = {"now": clock.now().isoformat(), **parameters}
        return load_rows(self._query(self._statements[name], given).bytes(), STATEMENTS[name].columns)

    def write(self, name: str, parameters: Parameters) -> int:
        """Run an INSERT statement with a timestamp later than the rows it replaces; return the number of rows added."""
        with _write_lock:
            stamp = self._next_timestamp(parameters)
            given = {"now": clock.now().isoformat(), "stamp": stamp, **parameters}
            written = int(self._query(self._statements[name], given).rows_written())
            if written and "value" in parameters:
                self._check_written(str(parameters["collection"]), str(parameters["key"]), stamp)
            return written

    def get(self, collection: str, key: str) -> list[Row]:
        """Return the row of an entry as value, format version and expiry; empty if there is none."""
        return self.select("get", {"collection": collection, "key": key})

    def get_together(self, names: Sequence[tuple[str, str]]) -> list[list[Row]]:
        """Return the result of `get` for each collection and key. All collections must be the same."""
        keys = list(dict.fromkeys(key for _, key in names))
        rows = self.select("get_many", {"collection": names[0][0], "keys": keys})
        found = {row[0]: [row[1:]] for row in rows}
        return [found.get(key.encode(), []) for _, key in names]

    def put(self, *batches: Sequence[tuple[bytes, ...]]) -> None:
        """Add rows of one collection atomically. The rows come without `version` and `inserted_at`.

        If several batches contain the same key, the row in the last batch counts.
        """

        def insert(session: Session) -> None:
            with session.send_insert(self._statements["put"], _FORMAT) as inserter:
                inserter.append(b"".join(encoded))
                inserter.finish()

        collection = batches[0][0][0].decode()
        stamp, latest = 0, (b"", 0)
        encoded: list[bytes] = []
        with _write_lock:
            for rows in batches:
                keys = [row[1] for row in rows]
                names = {"collection": collection, "keys": [key.decode() for key in keys]}
                stamp = max(stamp + 1, self._next_timestamp(names))
                encoded += [dump_row(row, 1, stamp) for row in rows]
                latest = max(latest, (max(keys), stamp))
            self._call(insert)
            self._check_written(collection, latest[0].decode(), latest[1])

    def _check_written(self, collection: str, key: str, stamp: int) -> None:
        """Raise KeyValueStoreError if the last row of an insert is missing.

        chDB 4.4 does not report errors at the end of an insert, such as a full disk. A row with a later timestamp has
        replaced this one, and counts as written.
        """
        try:
            if self.select("written", {"collection": collection, "key": key, "stamp": stamp}):
                return
        except KeyValueStoreError:
            # A truncated file is unreadable until the table is reopened, when ClickHouse sets the file aside.
            if self._engine.durable and not self._is_closed:
                self._close_until_next_use()
            raise
        ((name,),) = self.select("latest error", {})
        kind, reason = translate_error(RuntimeError(f"({name.decode()})"))
        message = f"{self._where} did not store the entries: {reason}"
        raise kind(message)

    def _next_timestamp(self, names: Parameters) -> int:
        stamp = _timestamps.next()
        if stamp > self._latest:
            return stamp
        # The clock has gone back since an earlier process wrote.
        if "key" in names:
            names = {**names, "keys": [str(names["key"])]}
        ((latest,),) = self.select("latest among" if "keys" in names else "latest in collection", names)
        return max(stamp, int(latest) + 1)

    def destroy_collection(self, collection: str) -> int:
        """Delete the collection; return how many live entries it had. Readers find none while rows are removed."""
        with _write_lock:
            count = self.write("delete_collection", {"collection": collection})
            self.cull()
        return count

    def destroy(self) -> None:
        """Empty the table."""
        with _write_lock:
            self._query(self._statements["destroy"], {})

    def cull(self) -> None:
        """Remove expired rows, and the older rows that they replace, from the files."""
        with _write_lock:
            given = {"now": clock.now().isoformat(), "stamp": _timestamps.next()}
            for kind in ("hidden", "expired"):
                if self.select(f"has {kind}", given):
                    self._query(self._statements[f"remove {kind}"], given)
                    self._wait_for_removal()

    def _wait_for_removal(self) -> None:
        """Wait for the mutation. Raises KeyValueStoreError if it stalls: ClickHouse waits forever on a full disk."""
        before, since, delay = "", time.monotonic(), 0.001
        while rows := self.select("removal", self._names):
            ((left,),) = rows
            if left != before:
                before, since = left, time.monotonic()
            elif time.monotonic() > since + _STALL_TIMEOUT_SECONDS:
                self._query(self._statements["kill removal"], self._names)
                message = f"{self._where} has stopped making progress with removing rows; the disk may be full"
                raise KeyValueStoreError(message)
            time.sleep(delay)
            delay = min(2 * delay, _MAX_POLL_SECONDS)

    def close(self) -> None:
        self._engine.disconnect(self._session)

    def _query(self, sql: str, parameters: Parameters) -> Any:
        texts = {name: _parameter(value) for name, value in parameters.items()}
        return self._call(lambda session: session.query(sql, _FORMAT, params=texts))

    def _call(self, call: Callable[[Session], T]) -> T:
        if self._is_closed:
            self._open()
        try:
            result = call(self._session)
        except RuntimeError as exc:
            self._check_in_place()
            reraise(exc, _ERRORS, self._where)
        self._check_in_place()
        return result

    def _check_in_place(self) -> None:
        if not self._engine.is_in_place():
            self._close_until_next_use()
            message = (
                f"the directory of {self._where} has been removed while it was open, with all its data; "
                "the next call opens the database again"
            )
            raise StoreConnectionError(message)

    def _open(self) -> None:
        self._session = self._engine.connect()
        self._is_closed = False
        try:
            self._prepare()
        except BaseException:
            self._close_until_next_use()
            raise

    def _close_until_next_use(self) -> None:
        self.close()
        self._is_closed = True

    def _prepare(self) -> None:
        """Find or create the table in the current database of the session."""
        ((database,),) = load_rows(self._query("SELECT currentDatabase()", {}).bytes(), "s")
        self._names = {"database": database.decode(), "table": self._table}
        table = f"{quoted(self._names['database'])}.{quoted(self._table)}"
        self._statements = {name: statement_on(table, name) for name in STATEMENTS}
        if self._create:
            try:
                self._session.query(self._statements["create"], _FORMAT, params={})
            except RuntimeError as exc:
                self._raise_unusable(f"cannot be created: {error_name(str(exc))}", exc)
        self._check_schema()
        ((latest,),) = self.select("latest", {})
        self._latest = int(latest)

    def _check_schema(self) -> None:
        columns = dict(load_rows(self._query(_COLUMNS_QUERY, self._names).bytes(), "ss"))
        if not columns:
            self._raise_unusable("does not exist; create it, or pass auto_create=True")
        found = {name.decode(): kind.decode() for name, kind in columns.items()}
        ((engine, order),) = load_rows(self._query(_TABLE_QUERY, self._names).bytes(), "ss")
        if (
            {name: found.get(name) for name in COLUMNS} != COLUMNS
            or not engine.decode().startswith(f"{_ENGINE} ")
            or {*order.decode().split(", ")} != {"collection", "key"}
        ):
            self._raise_unusable(
                f"is not a table of entries: it must have the columns {COLUMNS}, the engine {_ENGINE} and the order "
                "(collection, key); pass another table_name"
            )

    def _raise_unusable(self, why: str, cause: BaseException | None = None) -> NoReturn:
        message = f"table {self._table!r} of {self._where} {why}"
        raise StoreSetupError(message) from cause


def _parameter(value: str | int | Sequence[str]) -> str:
    if isinstance(value, int):
        return str(value)
    return text_parameter(value) if isinstance(value, str) else array_parameter(value)
