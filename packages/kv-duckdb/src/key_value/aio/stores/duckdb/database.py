"""DuckDB databases: opening them, watching their files, and the meaning of the driver's errors."""

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path

from key_value.aio.core.directories import PRIVATE_FILE, make_directories
from key_value.aio.core.driver_errors import DriverErrors
from key_value.aio.core.open_files import OpenFile
from key_value.aio.errors import KeyValueStoreError, StoreConnectionError, StoreSetupError

import duckdb
from duckdb import DuckDBPyConnection

__all__ = ["DRIVER_ERRORS", "Connection", "Database", "DatabaseOfConnection", "DatabaseOfPath"]

Connection = DuckDBPyConnection

DRIVER_ERRORS: DriverErrors = {
    # Another connection changed the same entries all the time that this one tried.
    duckdb.TransactionException: StoreConnectionError,
    # The connection that was passed in has been closed.
    duckdb.ConnectionException: StoreConnectionError,
    duckdb.Error: KeyValueStoreError,
}

_PATH = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"


class Database(ABC):
    """A database to connect to; `where` names it in messages."""

    where: str
    in_memory: bool = False

    @abstractmethod
    def connect(self) -> Connection:
        """Open a new connection. Raises StoreSetupError."""

    def confirm(self) -> bool:
        """Whether writes will be found again. Always True for a caller's database."""
        return True

    def written(self) -> None:  # noqa: B027 — a caller's database is the caller's to protect
        """Runs after each write."""

    def disconnect(self, connection: Connection) -> None:
        connection.close()


class DatabaseOfPath(Database):
    """A file, or a new database in memory for each connection."""

    def __init__(self, path: str) -> None:
        self.where = path
        self._path = path
        self.in_memory: bool = path.startswith(":memory:")
        self._file: OpenFile | None = None

    def connect(self) -> Connection:
        if self.in_memory:
            return duckdb.connect(self._path)
        file = Path(self._path).resolve()
        if OpenFile.is_parents(file):
            raise StoreSetupError(_FORKED.format(self.where))
        try:
            make_directories(file.parent)
            is_new = not file.exists()
            connection = duckdb.connect(self._path)
            if is_new and file.exists():
                file.chmod(PRIVATE_FILE)
        except OSError as exc:
            message = f"cannot open the DuckDB database {self.where}: {exc.strerror}"
            raise StoreSetupError(message) from exc
        except duckdb.Error as exc:
            raise StoreSetupError(self._explained(str(exc).partition("\n")[0])) from exc
        self._file = OpenFile(Path(self._path))
        if not self.confirm():
            # DuckDB has one database for all connections of a process to a path.
            self.disconnect(connection)
            raise StoreConnectionError(_HELD.format(self.where))
        return connection

    def written(self) -> None:
        # DuckDB makes its log with the rights that the umask leaves to others, after each checkpoint anew.
        if not self.in_memory:
            with suppress(FileNotFoundError):
                Path(f"{self._path}.wal").chmod(PRIVATE_FILE)

    def disconnect(self, connection: Connection) -> None:
        connection.close()
        if self._file is not None:
            self._file.release()

    def confirm(self) -> bool:
        return self._file is None or self._file.is_in_place()

    def _explained(self, error: str) -> str:
        if "lock" in error:
            return (
                f"another process holds the DuckDB database {self.where}, and DuckDB lets only one write to it: "
                "close it there, or use it from one process"
            )
        if "different configuration" in error:
            return (
                f"this process has opened the DuckDB database {self.where} with another configuration: "
                "pass its connection as connection="
            )
        return f"cannot open the DuckDB database {self.where}: {error}"


class DatabaseOfConnection(Database):
    """The database of a caller's connection, which the caller closes."""

    where = "of the connection"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._process = os.getpid()
        (file,) = connection.execute(_PATH).fetchone() or (None,)
        self.in_memory: bool = file is None

    def connect(self) -> Connection:
        if os.getpid() != self._process:
            raise StoreSetupError(_FORKED.format(self.where))
        cursor = self._connection.cursor()
        self.in_memory = cursor.execute(_PATH).fetchone() == (None,)
        return cursor


_FORKED = (
    "the DuckDB database {} was open when this process was forked, and DuckDB does not survive a fork: "
    "open it after forking"
)

_HELD = (
    "the file of the DuckDB database {} has been removed while it was open, and this process still has another "
    "connection to what it was: close that"
)
