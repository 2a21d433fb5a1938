"""chDB's engine, of which a process has one: opening it, watching its files, and the meaning of its errors."""

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
from key_value.aio.core.forks import ParentsAlone
from key_value.aio.core.open_files import OpenFile
from key_value.aio.errors import BaseKeyValueError, KeyValueStoreError, StoreConnectionError, StoreSetupError

__all__ = [
    "IN_MEMORY",
    "Engine",
    "EngineInMemory",
    "EngineOfPath",
    "Session",
    "engine_of",
    "meaning_of",
    "name_of",
    "quoted",
]


IN_MEMORY = ":memory:"


@runtime_checkable
class Session(Protocol):
    """A `chdb.session.Session`, as far as a store uses it."""

    def query(self, sql: str, fmt: str, *, params: Mapping[str, str]) -> Any: ...

    def send_insert(self, query: str, fmt: str) -> Any: ...

    def close(self) -> None: ...


class _Process(ParentsAlone):
    """chDB has threads from its import on, without which a call in a child waits without end."""

    def before_fork(self) -> None:
        if "chdb" in sys.modules:
            self._was_used = True


_process = _Process("chDB")


class Engine(ABC):
    """A database to work in; `where` names it in messages, and `durable` tells whether it survives the process."""

    where: str
    durable: bool

    def connect(self) -> Session:
        """Open a session, which one thread may use. Raises StoreSetupError."""
        _process.use()
        return self._connect()

    @abstractmethod
    def _connect(self) -> Session: ...

    @abstractmethod
    def disconnect(self, session: Session) -> None: ...

    def confirm(self) -> bool:
        """Whether writes will be found again."""
        return True


class EngineOfPath(Engine):
    """A directory, which all sessions of the process share."""

    durable = True

    def __init__(self, path: str, database: str = "default") -> None:
        self.where = path
        self._database = database
        # The engine has this file locked as long as it runs.
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
                raise StoreSetupError(_explained(self.where, str(exc))) from exc
            if _is_locked(self._lock_file):
                message = (
                    f"another process has the chDB database {self.where} open, and chDB lets only one use it: "
                    "close it there, or use it from one process"
                )
                raise StoreSetupError(message) from exc
            message = f"cannot open the chDB database {self.where}: {self._obstacle() or name_of(str(exc))}"
            raise StoreSetupError(message) from exc
        self._open_file = OpenFile(self._lock_file)
        if not self._lock_file.exists() or not self.confirm():
            self.disconnect(session)
            raise StoreConnectionError(_HELD.format(self.where))
        return session

    def _new_session(self) -> Session:
        try:
            return _new_session(self.where, self._database)
        except RuntimeError as exc:
            # To chDB two ways to write a path are two directories.
            other = _open_path(str(exc))
            if other is None or not _is_same(other, self.where):
                raise
            return _new_session(other, self._database)

    def _obstacle(self) -> str:
        """What keeps this user from the directory, which chDB does not tell; empty if nothing does."""
        directory = Path(self.where)
        if not directory.is_dir():
            return os.strerror(errno.ENOTDIR)
        is_open = os.access(directory, os.R_OK | os.W_OK | os.X_OK)
        if is_open and self._lock_file.exists():
            is_open = os.access(self._lock_file, os.R_OK | os.W_OK)
        return "" if is_open else os.strerror(errno.EACCES)

    def disconnect(self, session: Session) -> None:
        session.close()
        if self._open_file is not None:
            self._open_file.release()

    def confirm(self) -> bool:
        return self._open_file is None or self._open_file.is_in_place()


class EngineInMemory(Engine):
    """A database among those that vanish with the engine: a new one, or that of a caller, which stays."""

    where = IN_MEMORY
    durable = False

    def __init__(self, database: str | None = None) -> None:
        self._is_own = database is None
        self._database = database or f"kv_{uuid4().hex}"

    def _connect(self) -> Session:
        try:
            return _new_session(self.where, self._database, create=self._is_own)
        except RuntimeError as exc:
            raise StoreSetupError(_explained(self.where, str(exc))) from exc

    def disconnect(self, session: Session) -> None:
        try:
            if self._is_own:
                _run(session, f"DROP DATABASE IF EXISTS {self._database} SYNC")
        finally:
            session.close()


def engine_of(session: Session) -> Engine:
    """The caller's current database, by a session beside the caller's: chDB mixes up the parameters of calls that two
    threads make on one.

    Raises StoreSetupError for a session that has been closed, TypeError for what is none.
    """
    _process.use()
    from chdb.session import Session as DriverSession

    check_client(session, DriverSession, name="session")
    try:
        path, database = (_run(session, question).bytes().decode()[:-1] for question in (_PATH, _DATABASE))
    except AttributeError as exc:
        # What the driver raises then.
        message = "the session of chDB that was passed in has been closed"
        raise StoreSetupError(message) from exc
    if Path(path).name.startswith("clickhouse-embedded-"):
        return EngineInMemory(database)
    return EngineOfPath(path, database)


_PATH = "SELECT value FROM system.server_settings WHERE name = 'path'"
_DATABASE = "SELECT currentDatabase()"


def quoted(name: str) -> str:
    """The name as it stands in a statement."""
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _run(session: Session, sql: str) -> Any:
    return session.query(sql, "TSVRaw", params={})


def _new_session(path: str, database: str, *, create: bool = False) -> Session:
    # Takes half a second to import, because that starts the engine.
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


def name_of(error: str) -> str:
    """The name that ClickHouse gives to the error; what comes before it may show a value."""
    names = re.findall(r"\(([A-Z][A-Z0-9_]{3,})\)", error)
    return names[-1].replace("_", " ").lower() if names else "chDB gives no reason"


def meaning_of(error: RuntimeError) -> tuple[type[BaseKeyValueError], str]:
    text = str(error)
    if "TOO_MANY_PARTS" in text:
        return StoreConnectionError, "more is written than chDB can merge"
    if "NOT_ENOUGH_SPACE" in text or "errno: 28" in text:
        return KeyValueStoreError, "the disk is full"
    return KeyValueStoreError, name_of(text)


def _open_path(error: str) -> str | None:
    """The directory that the process has open, from an error that another was asked for."""
    found = re.search(r"already initialized with path '(.*)', cannot", error, re.DOTALL)
    return found[1] if found else None


def _is_same(path: str, other: str) -> bool:
    try:
        return Path(path).samefile(other)
    except OSError:
        return False


def _explained(where: str, error: str) -> str:
    other = _open_path(error)
    cause = name_of(error) if other is None else _OTHER_PATH.format(other)
    return f"cannot open the chDB database {where}: {cause}"


_OTHER_PATH = (
    "this process has {!r} open, and chDB opens one directory at a time; close its stores and sessions, or use one path"
)

_HELD = (
    "the directory of the chDB database {} has been removed while it was open, and this process still has another "
    "session on what it was: close that"
)
