"""The one module that talks to asyncpg: opens connections, runs statements on them, knows what its errors mean."""

import sys
import time
from asyncio import Future, Semaphore, ensure_future, gather
from asyncio import TimeoutError as AsyncioTimeoutError
from collections.abc import Mapping
from typing import Any, Protocol

import asyncpg  # pyright: ignore[reportMissingTypeStubs] — it has neither stubs nor a py.typed
from asyncpg import exceptions  # pyright: ignore[reportMissingTypeStubs]
from key_value.aio.core.driver_errors import DriverErrors, reason_of
from key_value.aio.core.numbers import scaled_timeout
from key_value.aio.errors import (
    DeserializationError,
    KeyValueStoreError,
    StoreConnectionError,
    StoreSetupError,
    StoreTimeoutError,
)

if sys.version_info >= (3, 11):
    from asyncio import timeout
else:
    from async_timeout import timeout

__all__ = ["CREATED_MEANWHILE", "DRIVER_ERRORS", "FORBIDDEN", "OwnConnections", "Pool", "PoolConnections", "Session"]

Pool = asyncpg.Pool
_driver: Any = asyncpg

# Another process creates the same table at the same moment: which of these comes depends on how far it is.
CREATED_MEANWHILE: tuple[type[Exception], ...] = (
    exceptions.DuplicateTableError,
    exceptions.DuplicateObjectError,
    exceptions.UniqueViolationError,
)
FORBIDDEN: tuple[type[Exception], ...] = (exceptions.InsufficientPrivilegeError, exceptions.InvalidSchemaNameError)

_CLOSING_SECONDS = 5.0
_CANCELLING_SECONDS = 1.0
_POOLER = "a pooler gives statements to other connections than they were prepared on: pass statement_cache_size=0"


def _reason_with_code(error: Any) -> str:
    # Its text may show what is stored.
    return f"{type(error).__qualname__} (SQLSTATE {error.sqlstate})"


def _misuse(error: Exception) -> str:
    # A subclass may show a parameter.
    return str(error) if type(error) is exceptions.InterfaceError else type(error).__qualname__


def _limit(error: Exception) -> str:
    return str(error) or reason_of(error)


DRIVER_ERRORS: DriverErrors = {
    TimeoutError: (StoreTimeoutError, _limit),
    OverflowError: (DeserializationError, "an entry expires at a date that is none"),
    exceptions.PostgresError: (KeyValueStoreError, _reason_with_code),
    exceptions.PostgresConnectionError: (StoreConnectionError, "the server closed the connection"),
    exceptions.InvalidPasswordError: (StoreSetupError, "wrong user name or password"),
    exceptions.InvalidAuthorizationSpecificationError: (
        StoreSetupError,
        "the server does not know this user, or refuses it from here (pg_hba.conf)",
    ),
    exceptions.InvalidCatalogNameError: (StoreSetupError, "unknown database"),
    exceptions.InsufficientPrivilegeError: (StoreSetupError, "this user lacks a right that it needs"),
    exceptions.SyntaxOrAccessError: (StoreSetupError, _reason_with_code),
    exceptions.UndefinedTableError: (StoreSetupError, "the table of entries does not exist any more"),
    exceptions.InvalidSQLStatementNameError: (StoreSetupError, _POOLER),
    exceptions.DuplicatePreparedStatementError: (StoreSetupError, _POOLER),
    # The same call works a moment later.
    exceptions.TooManyConnectionsError: (StoreConnectionError, "too many connections"),
    exceptions.OperatorInterventionError: (StoreConnectionError, "the server is starting, stopping or recovering"),
    exceptions.ReadOnlySQLTransactionError: (StoreConnectionError, "the server is read-only, as a standby is"),
    exceptions.TransactionRollbackError: (StoreConnectionError, "another transaction was in the way"),
    exceptions.TargetServerAttributeNotMatched: (StoreConnectionError, "no server is of the kind asked for"),
    exceptions.QueryCanceledError: (StoreTimeoutError, "the server has a shorter limit (statement_timeout)"),
    exceptions.LockNotAvailableError: (StoreTimeoutError, "the server has a shorter limit (lock_timeout)"),
    exceptions.DiskFullError: (KeyValueStoreError, "the server's disk is full"),
    exceptions.ProgramLimitExceededError: (KeyValueStoreError, "the value is larger or deeper than JSONB can hold"),
    # asyncpg's own: the connection was lost, or the pool has not been opened.
    exceptions.InterfaceError: (StoreConnectionError, _misuse),
    exceptions.InternalClientError: StoreConnectionError,
    exceptions.ClientConfigurationError: (StoreSetupError, "asyncpg does not take these options"),
}

Rows = list[Any]


class Session(Protocol):
    """Runs statements in the event loop that it belongs to."""

    background: "Future[None] | None"
    """What goes on beside them until it is closed."""

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        """The rows of one statement, which is a transaction."""
        ...

    async def run_script(self, script: str) -> None:
        """Run several statements without parameters, in one transaction."""
        ...

    async def close(self) -> None: ...


class OwnConnections:
    """Opens connections as they are needed, and keeps them for the next statement.

    asyncpg's own pool resets a connection after each use, which is a second round trip, and in a task of its own.
    """

    def __init__(
        self, options: Mapping[str, Any], limit: int, seconds: float | None, idle_seconds: float | None
    ) -> None:
        self.background: Future[None] | None = None
        self._options = options
        self._limit = limit
        self._free = Semaphore(limit)
        self._seconds = seconds
        self._idle_seconds = idle_seconds
        self._idle: list[tuple[float, Any]] = []
        self._leaving: set[Future[None]] = set()
        self._is_closed = False

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        return await self._run("fetch", entries, statement, *parameters)

    async def run_script(self, script: str) -> None:
        await self._run("execute", 1, script)

    async def _run(self, method: str, entries: int, *arguments: Any) -> Any:
        seconds = scaled_timeout(self._seconds, entries)
        try:
            async with timeout(seconds):
                await self._free.acquire()
                try:
                    connection = self._take() or await self._connect()
                except BaseException:
                    self._free.release()
                    raise
                try:
                    result = await getattr(connection, method)(*arguments)
                except exceptions.PostgresError:
                    self._give_back(connection)
                    raise
                except BaseException:
                    self._abandon(connection)
                    raise
                self._give_back(connection)
                return result
        except AsyncioTimeoutError as exc:
            raise _out_of_time(seconds) from exc

    async def close(self) -> None:
        """Close the connections when the statements under way have ended."""
        try:
            async with timeout(_CLOSING_SECONDS):
                for _ in range(self._limit):
                    await self._free.acquire()
        except AsyncioTimeoutError:
            # A server that does not answer. Those close when their own time is over.
            self._is_closed = True
        idle, self._idle = self._idle, []
        await gather(*self._leaving, *(_part(connection, _CLOSING_SECONDS) for _, connection in idle))

    async def _connect(self) -> Any:
        try:
            return await _driver.connect(**self._options)
        except ConnectionError as exc:
            if "rejected SSL upgrade" not in str(exc):
                raise
            message = "the PostgreSQL server does not offer TLS, which the URL or ssl= asks for"
            raise StoreSetupError(message) from exc

    def _take(self) -> Any:
        while self._idle:
            since, connection = self._idle.pop()
            if not connection.is_closed() and not self._is_stale(since):
                return connection
            connection.terminate()
        return None

    def _abandon(self, connection: Any) -> None:
        """Have the server stop what it still does for a call that ended, so that no later one is overtaken by it."""
        leaving = ensure_future(_part(connection, _CANCELLING_SECONDS))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._left)

    def _left(self, leaving: "Future[None]") -> None:
        self._leaving.discard(leaving)
        # Not before: it still counts among the connections.
        self._free.release()

    def _give_back(self, connection: Any) -> None:
        self._free.release()
        if connection.is_closed() or self._is_closed:
            connection.terminate()
            return
        self._idle.append((time.monotonic(), connection))
        # The first is the one that has been idle for longest.
        if self._is_stale(self._idle[0][0]):
            self._idle.pop(0)[1].terminate()

    def _is_stale(self, since: float) -> bool:
        return self._idle_seconds is not None and time.monotonic() - since > self._idle_seconds


class PoolConnections:
    """The caller's pool, which stays the caller's to close."""

    def __init__(self, pool: Any, seconds: float | None) -> None:
        self.background: Future[None] | None = None
        self._pool = pool
        self._seconds = seconds

    async def fetch(self, statement: str, *parameters: Any, entries: int = 1) -> Rows:
        return await self._run("fetch", entries, statement, *parameters)

    async def run_script(self, script: str) -> None:
        await self._run("execute", 1, script)

    async def _run(self, method: str, entries: int, *arguments: Any) -> Any:
        if self._pool.is_closing():
            message = "the pool that was passed in has been closed"
            raise StoreSetupError(message)
        seconds = scaled_timeout(self._seconds, entries)
        try:
            # The time counts for giving the connection back as well, which on a frozen server does not end by itself.
            async with timeout(seconds), self._pool.acquire(timeout=seconds) as connection:
                return await getattr(connection, method)(*arguments)
        except AsyncioTimeoutError as exc:
            raise _out_of_time(seconds) from exc

    async def close(self) -> None:
        """Nothing here is ours."""


def _out_of_time(seconds: float | None) -> TimeoutError:
    limit = "the time limit of the connection" if seconds is None else f"timeout={seconds:g} s"
    return TimeoutError(f"no answer within {limit}")


async def _part(connection: Any, seconds: float) -> None:
    """Close the connection; what runs on it for a call that was cancelled is stopped first."""
    try:
        await connection.close(timeout=seconds)
    except (OSError, AsyncioTimeoutError, exceptions.PostgresError, exceptions.InterfaceError):
        # There is nobody to say goodbye to.
        connection.terminate()
