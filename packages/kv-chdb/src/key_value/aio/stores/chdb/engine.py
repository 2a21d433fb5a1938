"""chDB's engine, one per process: opening it, checking that its files are in place, and translating its errors."""

import errno
import os
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable
from uuid import uuid4

from key_value.aio.core.clients import check_client
from key_value.aio.core.directories import make_directories
from key_value.aio.core.forks import ForkGuard
from key_value.aio.core.open_files import OpenFile
from key_value.aio.errors import BaseKeyValueError, KeyValueStoreError, StoreConnectionError, StoreSetupError

__all__ = [
    "IN_MEMORY",
    "Engine",
    "EngineInMemory",
    "EngineOfPath",
    "Session",
    "engine_of",
    "error_name",
    "quoted",
    "translate_error",
]


IN_MEMORY = ":memory:"


@runtime_checkable
class Session(Protocol):
    """The methods of `chdb.session.Session` that a store uses."""

    def query(self, sql: str, fmt: str, *, params: Mapping[str, str]) -> Any: ...

    def send_insert(self, query: str, fmt: str) -> Any: ...

    def close(self) -> None: ...


class _Process(ForkGuard):
    """chDB starts threads when imported. A forked child does not have them, and its calls would wait forever."""

    def before_fork(self) -> None:
        if "chdb" in sys.modules:
            self._was_used = True


_process = _Process("chDB")


class Engine(ABC):
    """A database to use. `where` identifies it in messages; `durable` is whether it survives the process."""

    where: str
    durable: bool

    def connect(self) -> Session:
        """Open a session, to be used by one thread. Raises StoreSetupError if that fails."""
        _process.use()
        return self._connect()

    @abstractmethod
    def _connect(self) -> Session: ...

    @abstractmethod
    def disconnect(self, session: Session) -> None: ...

    def is_in_place(self) -> bool:
        """Whether the files are still in place, so that writes are not lost."""
        return True


class EngineOfPath(Engine):
    """A database in a directory, which all sessions of the process share."""

    durable = True

    def __init__(self, path: str, database: str = "default") -> None:
        self.where = path
        self._database = database
        # The engine locks this file as long as it runs.
        self._lock_file = Path(path, "status")
        self._open_file: OpenFile | None = None

    def _connect(self) -> Session:
        try:
            make_directories(Path(self.where))
        except OSError as exc:
            message = f"cannot open the chDB database {self.where}: {exc.strerror}"
            raise StoreSetupError(message) from exc
        try:
            session = self._new_session()
        except RuntimeError as exc:
            if "initializing" not in str(exc):
                raise StoreSetupError(_open_error(self.where, str(exc))) from exc
            if _is_locked(self._lock_file):
                message = (
                    f"another process has the chDB database {self.where} open, and chDB allows only one process: "
                    "close it there, or use it from one process"
                )
                raise StoreSetupError(message) from exc
            message = f"cannot open the chDB database {self.where}: {self._access_error() or error_name(str(exc))}"
            raise StoreSetupError(message) from exc
        self._open_file = OpenFile(self._lock_file)
        if not self._lock_file.exists() or not self.is_in_place():
            self.disconnect(session)
            raise StoreConnectionError(_STILL_OPEN_MESSAGE.format(self.where))
        return session

    def _new_session(self) -> Session:
        try:
            return _new_session(self.where, self._database)
        except RuntimeError as exc:
            # chDB treats two spellings of a path as two directories.
            other = _path_in_use(str(exc))
            if other is None or not _is_same(other, self.where):
                raise
            return _new_session(other, self._database)

    def _access_error(self) -> str:
        """Explain why the current user cannot access the directory (chDB gives no reason). Empty if it can."""
        directory = Path(self.where)
        if not directory.is_dir():
            return os.strerror(errno.ENOTDIR)
        is_accessible = os.access(directory, os.R_OK | os.W_OK | os.X_OK)
        if is_accessible and self._lock_file.exists():
            is_accessible = os.access(self._lock_file, os.R_OK | os.W_OK)
        return "" if is_accessible else os.strerror(errno.EACCES)

    def disconnect(self, session: Session) -> None:
        session.close()
        if self._open_file is not None:
            self._open_file.release()

    def is_in_place(self) -> bool:
        return self._open_file is None or self._open_file.is_in_place()


class EngineInMemory(Engine):
    """A database in memory: a new one, dropped when the store closes, or the caller's, which is kept."""

    where = IN_MEMORY
    durable = False

    def __init__(self, database: str | None = None) -> None:
        self._is_own = database is None
        self._database = database or f"kv_{uuid4().hex}"

    def _connect(self) -> Session:
        try:
            return _new_session(self.where, self._database, create=self._is_own)
        except RuntimeError as exc:
            raise StoreSetupError(_open_error(self.where, str(exc))) from exc

    def disconnect(self, session: Session) -> None:
        try:
            if self._is_own:
                _run(session, f"DROP DATABASE IF EXISTS {self._database} SYNC")
        finally:
            session.close()


def engine_of(session: Session) -> Engine:
    """Return the current database of the caller's session, to be used through a session of the store's own.

    chDB confuses the parameters of calls that two threads make on the same session. Raises StoreSetupError if the
    session has been closed, and TypeError if it is not a chDB session.
    """
    _process.use()
    from chdb.session import Session as DriverSession

    check_client(session, DriverSession, name="session")
    try:
        path, database = (_run(session, sql).bytes().decode()[:-1] for sql in (_PATH, _DATABASE))
    except AttributeError as exc:
        # The driver raises this for a closed session.
        message = "the chDB session passed as session= has been closed"
        raise StoreSetupError(message) from exc
    if Path(path).name.startswith("clickhouse-embedded-"):
        return EngineInMemory(database)
    return EngineOfPath(path, database)


_PATH = "SELECT value FROM system.server_settings WHERE name = 'path'"
_DATABASE = "SELECT currentDatabase()"


def quoted(name: str) -> str:
    """Quote the identifier for use in SQL."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _run(session: Session, sql: str) -> Any:
    return session.query(sql, "TSVRaw", params={})


def _new_session(path: str, database: str, *, create: bool = False) -> Session:
    # Deferred: the import takes half a second, because it starts the engine.
    from chdb.session import Session as DriverSession

    session = cast("Session", DriverSession(path))
    try:
        if create:
            _run(session, f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
        _run(session, f"USE {quoted(database)}")
    except RuntimeError:
        session.close()
        raise
    return session


def _is_locked(path: Path) -> bool:
    import fcntl

    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def error_name(error: str) -> str:
    """Return the ClickHouse name of the error, without the message text, which may contain values."""
    names = re.findall(r"\(([A-Z][A-Z0-9_]{3,})\)", error)
    return names[-1].replace("_", " ").lower() if names else "chDB gives no reason"


def translate_error(error: RuntimeError) -> tuple[type[BaseKeyValueError], str]:
    text = str(error)
    if "TOO_MANY_PARTS" in text:
        return StoreConnectionError, "entries are written faster than chDB can merge them"
    if "NOT_ENOUGH_SPACE" in text or "errno: 28" in text:
        return KeyValueStoreError, "the disk is full"
    return KeyValueStoreError, error_name(text)


def _path_in_use(error: str) -> str | None:
    """Return the directory that the process has open, from the error for opening another one."""
    found = re.search(r"already initialized with path '(.*)', cannot", error, re.DOTALL)
    return found[1] if found else None


def _is_same(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


def _open_error(where: str, error: str) -> str:
    other = _path_in_use(error)
    cause = error_name(error) if other is None else _OTHER_PATH_MESSAGE.format(other)
    return f"cannot open the chDB database {where}: {cause}"


_OTHER_PATH_MESSAGE = (
    "this process has {!r} open, and chDB opens one directory at a time; close its stores and sessions, or use one path"
)

_STILL_OPEN_MESSAGE = (
    "the directory of the chDB database {} has been removed while it was open, and this process still has another "
    "session on the removed directory: close it"
)
