"""DuckDB databases: opening them, checking that their files are in place, and translating driver errors."""

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

__all__ = ["DRIVER_ERRORS", "BorrowedDatabase", "Connection", "DuckDatabase", "OwnedDatabase"]

Connection = DuckDBPyConnection

DRIVER_ERRORS: DriverErrors = {
    # Other connections kept changing the same entries during all attempts.
    duckdb.TransactionException: StoreConnectionError,
    # The caller has closed the connection passed to the store.
    duckdb.ConnectionException: StoreConnectionError,
    duckdb.Error: KeyValueStoreError,
}

_PATH = "SELECT path FROM duckdb_databases() WHERE database_name = current_database()"


class DuckDatabase(ABC):
    """A database to connect to. `where` identifies it in messages."""

    where: str
    in_memory: bool = False

    @abstractmethod
    def connect(self) -> Connection:
        """Open a new connection. Raises StoreSetupError."""

    def is_in_place(self) -> bool:
        """Whether the file is still in place, so that writes are not lost. Always True for a caller's database."""
        return True

    def after_write(self) -> None:  # noqa: B027 — the caller protects its own database
        """Called after each write."""

    def disconnect(self, connection: Connection) -> None:
        connection.close()


class OwnedDatabase(DuckDatabase):
    """A database file, or a new in-memory database per connection."""

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
            raise StoreSetupError(_FORKED_MESSAGE.format(self.where))
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
            raise StoreSetupError(self._open_error(str(exc).partition("\n")[0])) from exc
        self._file = OpenFile(Path(self._path))
        if not self.is_in_place():
            # DuckDB shares one database among all connections of a process to a path.
            self.disconnect(connection)
            raise StoreConnectionError(_STILL_OPEN_MESSAGE.format(self.where))
        return connection

    def after_write(self) -> None:
        # DuckDB creates its write-ahead log anew after each checkpoint, with the permissions that the umask allows.
        if not self.in_memory:
            with suppress(FileNotFoundError):
                Path(f"{self._path}.wal").chmod(PRIVATE_FILE)

    def disconnect(self, connection: Connection) -> None:
        connection.close()
        if self._file is not None:
            self._file.release()

    def is_in_place(self) -> bool:
        return self._file is None or self._file.is_in_place()

    def _open_error(self, error: str) -> str:
        if "lock" in error:
            return (
                f"another process has the DuckDB database {self.where} open, and DuckDB allows only one process to "
                "write: close it there, or use it from one process"
            )
        if "different configuration" in error:
            return (
                f"this process has already opened the DuckDB database {self.where} with another configuration: "
                "pass its connection as connection="
            )
        return f"cannot open the DuckDB database {self.where}: {error}"


class BorrowedDatabase(DuckDatabase):
    """The database of a connection that the caller passed and closes."""

    where = "of the connection"

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._process = os.getpid()
        (file,) = connection.execute(_PATH).fetchone() or (None,)
        self.in_memory: bool = file is None

    def connect(self) -> Connection:
        if os.getpid() != self._process:
            raise StoreSetupError(_FORKED_MESSAGE.format(self.where))
        cursor = self._connection.cursor()
        self.in_memory = cursor.execute(_PATH).fetchone() == (None,)
        return cursor


_FORKED_MESSAGE = (
    "the DuckDB database {} was open when this process was forked, and DuckDB does not survive a fork: "
    "open it after forking"
)

_STILL_OPEN_MESSAGE = (
    "the file of the DuckDB database {} has been removed while it was open, and this process still has another "
    "connection to the removed file: close it"
)
